package truth

import "time"

// retrying makes clients send a request up to four times with the same key.
const retrying = "And clients retry failed requests up to 3 times with the same key\n"

// loseReplies loses the replies to a third of the orders after the work was done.
const loseReplies = "When 30% of replies from \"front\" to \"clients\" are lost after the work was done for 2s\n"

// deliverTwice delivers each order and a copy of it at the same time.
const deliverTwice = "When calls from \"clients\" to \"front\" are delivered twice for 2s\n"

// orderLoad returns a load of orders with keys and a ledger.
func orderLoad(rate float64) string {
	return loadFor("POST /orders", rate, 2*time.Second, baseline(rate)) + keyed("GET /ledger")
}

// trickyOrders returns drills of services that take orders, correctly or with a mistake that is easy to
// misjudge.
func trickyOrders() []row {
	return []row{
		{
			name: "a service without memory of keys, and clients that retry", front: "-forget always",
			steps: orderLoad(40) + settled + retrying + loseReplies + once + "And no request is applied more than once\nAnd no effect appears that was never requested\n",
			want:  "failed", reason: `more than once|twice|duplicate|surplus`, fails: []string{`exactly once`, `more than once`},
			why: "each retry after a lost reply is a second order",
		}, {
			name: "a service without memory of keys, and clients that do not retry", front: "-forget always", full: true,
			steps: orderLoad(40) + loseReplies + twice + "And no acknowledged request is lost\n",
			want:  "passed", why: "no key is sent twice: the mistake is there and cannot act",
		}, {
			name:  "replies are lost, and retries find their order",
			steps: orderLoad(40) + settled + retrying + loseReplies + once + "And no acknowledged request is lost\nAnd no effect appears that was never requested\nAnd at least 95% of requests succeed during the fault\n",
			want:  "passed", why: "the key is known, so a retry gets the answer of the first attempt",
		}, {
			name: "replies are lost, and no client retries", full: true,
			steps: orderLoad(40) + loseReplies + once + "And no acknowledged request is lost\n",
			want:  "passed", why: "what was not acknowledged may have been applied or not",
		}, {
			name: "effects settle in the time that is stated", front: "-status 202 -late 3s",
			steps: orderLoad(20) + "And effects settle within 8s\n" + slow + once,
			want:  "passed", why: "each has one effect three seconds after its answer",
		}, {
			name: "effects settle later than is stated", front: "-status 202 -late 60s",
			steps: orderLoad(20) + "And effects settle within 3s\n" + slow + lost,
			want:  "failed", reason: `(?i)lost|acknowledged`, fails: []string{`no acknowledged request is lost`},
			why: "three seconds were promised, and a minute is needed",
		}, {
			name: "the ids of effects are numbers", full: true, front: "-numeric",
			steps: orderLoad(40) + slow + once + "And no effect appears that was never requested\n",
			want:  "passed", why: "an id may be a number",
		}, {
			name: "the ledger is listed in another order each time", full: true, front: "-shuffled",
			steps: orderLoad(40) + slow + once + "And no acknowledged request is lost\n",
			want:  "passed", why: "a ledger is a set",
		}, {
			name: "accepted orders wait in memory when the service crashes", front: "-status 202 -late 800ms -file FOLDER/ledger",
			steps: orderLoad(40) + "And effects settle within 5s\nWhen \"front\" crashes for 1s\n" + lost + "And no request is applied more than once\n",
			want:  "failed", reason: `(?i)lost`, fails: []string{`no acknowledged request is lost`},
			why: "some 30 orders were accepted and not yet written",
		}, {
			name: "orders are kept in memory only", front: "",
			steps: orderLoad(40) + "When \"front\" crashes for 1s\n" + lost,
			want:  "failed", reason: `(?i)lost`, fails: []string{`no acknowledged request is lost`},
			why: "all orders from before the crash are gone",
		}, {
			name: "orders are written before they are acknowledged", full: true, front: "-file FOLDER/ledger",
			steps: orderLoad(40) + retrying + "When \"front\" crashes for 1s\n" + lost + "And no request is applied more than once\nAnd no effect appears that was never requested\n",
			want:  "passed", why: "what the kernel was given outlives the process",
		}, {
			name: "503, and the order was taken", front: "-failing 503",
			steps: orderLoad(40) + "When calls from \"front\" to \"back\" answer with status 500 for 1s\n" + once,
			want:  "passed", why: "a service that answers 503 does not say that nothing was done",
		}, {
			name: "503 means that it is not known, as a sentence says", front: "-failing 503", full: true,
			steps: orderLoad(40) + "And status 503 means that it is not known\nWhen calls from \"front\" to \"back\" answer with status 500 for 1s\n" + once,
			want:  "passed", why: "what is not known may have been applied once",
		}, {
			name: "422, and the order was taken", full: true, front: "-failing 422",
			steps: orderLoad(40) + "When calls from \"front\" to \"back\" answer with status 500 for 1s\n" + once,
			want:  "failed", reason: `(?i)refused`, fails: []string{`exactly once`},
			why: "422 says that the order was refused, and it was applied",
		}, {
			name: "orders are acknowledged although the dependency failed", full: true, front: "-failing 201",
			steps: orderLoad(40) + "When calls from \"front\" to \"back\" answer with status 500 for 1s\n" + lost + "And at least 99% of requests succeed during the fault\n",
			want:  "failed", reason: `(?i)lost`, fails: []string{`no acknowledged request is lost`},
			why: "the answer was 201 and nothing was written",
		}, {
			name: "every order is applied a second time five seconds later", front: "-again 5s", full: true,
			steps: orderLoad(20) + "And effects settle within 10s\n" + slow + twice,
			want:  "failed", reason: `more than once|twice|duplicate|surplus`, fails: []string{`more than once`},
			why: "each order has two effects, within the stated time",
		}, {
			name: "every order leaves a second effect under another key", full: true, front: "-copies -copy",
			steps: orderLoad(40) + slow + "Then no effect appears that was never requested\nAnd no acknowledged request is lost\n",
			want:  "failed|inconclusive", reason: `(?i)never requested|not of this|other keys|-copy`, fails: []string{`never requested`},
			why: "they were never requested, and they appeared while nothing else used the service",
		}, {
			name: "a key may come with another body", front: "-any-body",
			steps: orderLoad(40) + slow + "Then a key reused with a different body is refused with status 422\n",
			want:  "failed", reason: `(?i)as expected|another|422|201`, fails: []string{`key reused`},
			why: "the other body got the answer of the first",
		}, {
			name: "a key in the body comes with another body", full: true, front: "-key body",
			steps: "And a steady load of 40 requests per second on \"POST /orders\" with this body:\n\"\"\"\n{\"key\": \"{{key}}\", \"amount\": {{n}}}\n\"\"\"\nAnd clients give up after 2s\nAnd a baseline is measured for 1s\n" + keyed("GET /ledger") + slow + "Then a key reused with a different body is refused with status 422\nAnd every acknowledged request is applied exactly once\n",
			want:  "passed", why: "the service refuses the key with another amount; the key itself has to stay as it is",
		}, {
			name: "a repetition is answered in other words", front: "-new-reply",
			steps: orderLoad(40) + slow + "Then requests repeated with the same key get the same response\n",
			want:  "failed", reason: `(?i)as expected|another|same`, fails: []string{`same response`},
			why: "each repetition carries the time",
		}, {
			name: "calls are delivered twice at once, and keys are guarded", full: true, back: "-delay 30ms",
			steps: orderLoad(40) + deliverTwice + "Then no request is applied more than once\n",
			want:  "passed", why: "the copy waits until the order is taken, and finds its key",
		}, {
			name: "calls are delivered twice at once, and keys are looked up before the work", back: "-delay 30ms", front: "-unguarded",
			steps: orderLoad(40) + settled + deliverTwice + "Then no request is applied more than once\n",
			want:  "failed", reason: `more than once|twice|duplicate|surplus`, fails: []string{`more than once`},
			why: "both copies find that the key is not known, and both work for 30ms before it is",
		}, {
			name: "calls are delivered twice, the second one later", full: true,
			steps: orderLoad(40) + "When calls from \"clients\" to \"front\" are delivered twice, the copy 300ms late for 2s\nThen at least 40 calls from \"clients\" to \"front\" were affected by the fault\nAnd no request is applied more than once\n",
			want:  "passed", why: "the copy finds the key",
		}, {
			name: "calls are delivered twice, and keys are not known", front: "-forget always",
			steps: orderLoad(40) + settled + "When calls from \"clients\" to \"front\" are delivered twice, the copy 300ms late for 2s\nThen no request is applied more than once\n",
			want:  "failed", reason: `more than once|twice|duplicate|surplus`, fails: []string{`more than once`},
			why: "each copy is a second order",
		},
	}
}
