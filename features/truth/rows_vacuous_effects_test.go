package truth

import "time"

// vacuousEffects returns drills that prove nothing because the effects read are not those of the requests.
func vacuousEffects() []row {
	const noPhantom = "And no effect appears that was never requested\n"
	return []row{
		{
			name:  "effects are read from another service",
			steps: load("POST /orders", 40) + keyed("GET /spare/ledger") + slow + twice + noPhantom,
			want:  "inconclusive", reason: `(?i)effects|none of|no effect|acknowledged`,
			why: "not one of the acknowledged orders is in that ledger, so it is not theirs",
		}, {
			name: "effects are read from an empty table", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/empty") + slow + twice + noPhantom,
			want:  "inconclusive", reason: `(?i)effects|none of|no effect|acknowledged`,
			why: "not one of the acknowledged orders is there",
		}, {
			name: "the ledger writes keys in another form", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/other-keys") + slow + twice,
			want:  "inconclusive", reason: `(?i)effects|none of|no effect|acknowledged|key`,
			why: "two effects of one key would not be found",
		}, {
			name:  "the ledger has pages, and the first is read",
			steps: load("POST /orders", 40) + keyed("GET /ledger/first-page") + slow + twice,
			want:  "inconclusive", reason: `(?i)page|effects|acknowledged`,
			why: "most orders are not on it",
		}, {
			name: "the ledger has pages, and orders are missing", full: true,
			steps: load("POST /orders", 40) + keyed("GET /ledger/first-page") + slow + lost,
			want:  "inconclusive", reason: `(?i)page`,
			why: "what is not on the first page is not lost",
		}, {
			name:  "the fault is on calls that only read, and orders make none",
			steps: "And a steady load of 80 requests per second with this mix:\n| route | share |\n| GET /dep | 50% |\n| POST /orders | 50% |\nAnd clients give up after 2s\nAnd a baseline is measured for 2s\n" + keyed("GET /ledger") + settled + "When only \"GET /work\" calls from \"front\" to \"back\" are delayed by 300ms for 2s\n" + once,
			want:  "inconclusive", reason: `only calls that read`,
			why: "no order met it",
		}, {
			name:  "half of the orders are of a route that has no effects",
			steps: "And a steady load of 80 requests per second with this mix:\n| route | share |\n| POST /ok | 50% |\n| POST /orders | 50% |\nAnd clients give up after 2s\nAnd a baseline is measured for 2s\n" + keyed("GET /ledger") + slow + once,
			want:  "inconclusive", reason: `may have no effects`,
			why: "what a request was never to change is not lost",
		}, {
			name:  "the ledger wants a login",
			steps: load("POST /orders", 40) + keyed("GET /ledger/login") + slow + twice,
			want:  "inconclusive", reason: `(?i)effects|ledger`,
			why: "the page that asks for a password is no ledger",
		}, {
			name:  "the ledger does not exist",
			steps: load("POST /orders", 40) + keyed("GET /ledger/nothing") + slow + twice,
			want:  "inconclusive", reason: `404`,
			why: "no ledger was read; the reason names the status",
		}, {
			name:  "no order is ever acknowledged",
			steps: load("POST /refused/500", 40) + keyed("GET /ledger") + steady + slow + once,
			want:  "inconclusive", reason: `(?i)acknowledged|baseline`,
			why: "there is nothing that could be lost",
		}, {
			name: "the service that has the ledger is down when it is read", full: true,
			steps: loadFor("POST /orders", 40, time.Second, time.Second) + keyed("GET /spare/ledger") + slow + once,
			system: `
services:
  front: {command: [SERVICE, -listen, "127.0.0.1:${port}", -dep, "${link:back}"], serves: [/], depends: {back: http}}
  back: {command: [SERVICE, -listen, "127.0.0.1:${port}"]}
  spare: {address: "127.0.0.1:1", serves: [/spare]}
`,
			want: "inconclusive|problem", reason: `(?i)effects|ledger|spare|refused`,
			why: "no ledger was read",
		},
	}
}
