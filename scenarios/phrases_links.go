package scenarios

import (
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
)

func linkFaultPhrases() []Phrase {
	return append(append(cutPhrases(), connectionPhrases()...), trafficPhrases()...)
}

// cutPhrases are about links that go silent.
func cutPhrases() []Phrase {
	return []Phrase{
		faultPhrase("cut off", `{name} and {name} are cut off from each other`, "silence both ways; sockets stay open; on healing what was held arrives", []string{
			`"orders" and "payments" are cut off from each other for 15s`,
		}, func(a args) Placed { return between(a, 0, 1, injector.CutOff{}) }),
		faultPhrase("cut off one way, requests", `requests from {name} never reach {name}`, "silence on the way there", []string{
			`requests from "orders" never reach "payments" for 15s`,
		}, func(a args) Placed { return between(a, 0, 1, injector.CutOff{Dir: link.ToServer}) }),
		faultPhrase("cut off one way, replies", `replies from {name} never reach {name}`, "silence on the way back", []string{
			`replies from "payments" never reach "orders" for 15s`,
		}, func(a args) Placed { return between(a, 1, 0, injector.CutOff{Dir: link.ToClient}) }),
		faultPhrase("silence", `{connections} from {name} to {name} fall silent`, "as if cut off, both ways, while the other connections go on; on healing what was held arrives", []string{
			`20% of connections from "orders" to "payments" fall silent for 15s`,
			`the first 3 connections from "orders" to "payments" fall silent for 15s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.Silence{Conns: a.conns(0)}) }),
		faultPhrase("half-open", `{connections} from {name} to {name} are half-open`, "those that are live lose their other end without a word, and both sides believe themselves connected; new ones go through; healing resets them", []string{
			`connections from "orders" to "payments" are half-open for 15s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.HalfOpen{Conns: a.conns(0)}) }),
	}
}

// connectionPhrases are about how connections begin and end.
func connectionPhrases() []Phrase {
	return []Phrase{
		faultPhrase("refuse", `{name} refuses connections from {name}`, "the port is closed: connection refused", []string{
			`"payments" refuses connections from "orders" for 15s`,
		}, func(a args) Placed { return between(a, 1, 0, injector.Refuse{}) }),
		faultPhrase("no accept", `{name} accepts no connections from {name}`, "new connections are established and nobody answers on them; those that are live go on", []string{
			`"payments" accepts no connections from "orders" for 15s`,
		}, func(a args) Placed { return between(a, 1, 0, injector.NoAccept{}) }),
		faultPhrase("slow accept", `{new_connections} from {name} to {name} are accepted {duration} late`, "they are established and wait for an answer; those that are live go on", []string{
			`new connections from "orders" to "payments" are accepted 2s late for 15s`,
			`20% of new connections from "orders" to "payments" are accepted 2s late for 15s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SlowAccept{By: a.duration(3), Conns: a.conns(0)})
		}),
		faultPhrase("stalled TLS", `{handshakes} from {name} to {name} stall`, "new connections that begin a TLS handshake get no answer", []string{
			`TLS handshakes from "orders" to "payments" stall for 15s`,
			`20% of TLS handshakes from "orders" to "payments" stall for 15s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.StallTLS{Conns: a.conns(0)}) }),
		faultPhrase("reset", `{connections} from {name} to {name} are reset( after {limit})`, "connections end with RST, at once, or after so many bytes, or after a time", []string{
			`20% of connections from "orders" to "payments" are reset after 4 KB for 15s`,
			`connections from "orders" to "payments" are reset`,
			`connections from "orders" to "payments" are reset after 2s for 15s`,
		}, func(a args) Placed {
			f := a.reset(3)
			f.Conns = a.conns(0)
			return between(a, 1, 2, f)
		}),
		faultPhrase("early close", `{connections} from {name} to {name} are closed after {size}`, "connections end in order, both ways, once so many bytes have passed in either direction", []string{
			`connections from "orders" to "payments" are closed after 4 KB for 15s`,
			`all but the first 4 connections from "orders" to "payments" are closed after 4 KB for 15s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.CloseEarly{AfterBytes: a.size(3), Conns: a.conns(0)})
		}),
		faultPhrase("late close", `{connections} from {name} to {name} close {duration} late`, "the end of connections, in order or by reset, arrives late; bytes are on time", []string{
			`connections from "orders" to "payments" close 2s late for 15s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.CloseLate{By: a.duration(3), Conns: a.conns(0)})
		}),
	}
}

// trafficPhrases are about bytes and when they arrive.
func trafficPhrases() []Phrase {
	return []Phrase{
		faultPhrase("toxic", `the toxic {text}( with {text}) is on {traffic} from {name} to {name}`, "one of Toxiproxy's, by name, with its attributes and in its units: bandwidth, latency, limit_data, noop, reset_peer, slicer, slow_close, timeout", []string{
			`the toxic "latency" with "latency=800 jitter=200" is on traffic from "orders" to "payments" for 30s`,
			`the toxic "timeout" is on one-way traffic on 20% of connections from "payments" to "orders" for 30s`,
		}, toxic),
		faultPhrase("slow traffic", `{traffic} from {name} to {name} is delayed by {duration}(, give or take {duration})`, "bytes arrive later, in order, in each direction (a call and its answer: twice) or in one; delays are spread evenly", []string{
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms for 30s`,
			`one-way traffic from "payments" to "orders" is delayed by 50ms for 30s`,
			`traffic on 20% of connections from "orders" to "payments" is delayed by 50ms for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SlowTraffic{By: a.duration(3), Jitter: a.jitter(3, 4), Way: a.way(0)})
		}),
		faultPhrase("slow traffic, spread", `{traffic} from {name} to {name} is delayed by {duration}, give or take {duration}, {spread}`, "as before, with delays that stray from the mean by so much as a standard deviation", []string{
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms, normally distributed for 30s`,
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms, with a long tail for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SlowTraffic{By: a.duration(3), Jitter: a.deviation(3, 4), Spread: spreads[a.value(5)], Way: a.way(0)})
		}),
		faultPhrase("ramp", `{latency} from {name} to {name} ramps from {duration} to {duration} over {duration}`, "the delay of bytes, in each direction (a call and its answer: twice) or in one, grows or shrinks evenly and then stays", []string{
			`latency from "orders" to "payments" ramps from 0ms to 800ms over 20s for 30s`,
			`one-way latency from "orders" to "payments" ramps from 800ms to 0ms over 20s for 20s`,
		}, func(a args) Placed {
			f := a.ramp(3)
			f.Way = a.way(0)
			return between(a, 1, 2, f)
		}),
		faultPhrase("wave", `{latency} from {name} to {name} follows a square wave of {duration}, {duration} on and {duration} off`, "bytes are late, in each direction (a call and its answer: twice) or in one, for a while and on time for a while, in turn", []string{
			`latency from "orders" to "payments" follows a square wave of 500ms, 2s on and 3s off for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.Wave{By: a.duration(3), Up: a.duration(4), Down: a.duration(5), Way: a.way(0)})
		}),
		faultPhrase("bandwidth", `{traffic} from {name} to {name} is limited to {size} per second`, "each connection carries so many bytes a second in each direction, or in one", []string{
			`traffic from "orders" to "payments" is limited to 64 KB per second for 30s`,
			`one-way traffic from "orders" to "payments" is limited to 64 KB per second for 30s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.Bandwidth{Rate: a.size(3), Way: a.way(0)}) }),
		faultPhrase("shared bandwidth", `all {traffic} from {name} to {name} together is limited to {size} per second`, "all connections together carry so many bytes a second in each direction, or in one", []string{
			`all traffic from "orders" to "payments" together is limited to 64 KB per second for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SharedBandwidth{Rate: a.size(3), Way: a.way(0)})
		}),
		faultPhrase("sliced traffic", `{traffic} from {name} to {name} is sliced into pieces of {size}(, {duration} apart)`, "bytes arrive in small pieces, one behind the other or so far apart", []string{
			`traffic from "orders" to "payments" is sliced into pieces of 64 B, 10ms apart for 30s`,
			`one-way traffic from "payments" to "orders" is sliced into pieces of 64 B for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.Sliced{Size: int(a.size(3)), Apart: a.duration(4), Way: a.way(0)})
		}),
	}
}

func toxic(a args) Placed {
	f := injector.Toxic{Name: a.quoted(0), Attributes: a.quoted(1), Way: a.way(2)}
	if err := f.Check(); err != nil {
		a.r.addProblem(a.pos(0), err.Error(), "see Toxiproxy's list of toxics and their attributes; without any, leave the part that begins with `with` out")
	}
	return between(a, 3, 4, f)
}
