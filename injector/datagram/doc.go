// Package datagram is one dependency reached through us over UDP: a listener, a socket to the dependency for each client, and message faults.
//
// Open a Link in front of an address and point the client at Addr. Rules come through Relay, the same as those of package message: lost in either direction,
// delivered twice, a late copy, out of order, delayed, corrupted, cut short, and for DNS answered with an error. Refuse closes the port; CutOff loses everything.
//
// # How it is made, and why
//
// One goroutine reads from clients and writes to the dependency; each client's socket has one that reads the answers. A datagram that no rule concerns is
// written from the buffer it was read into. A goroutine that waits for an answer holds no buffer. What is kept back (delays, late copies) stands in one queue, bounded
// in number and bytes; what finds no room there goes on at once and is told as skipped.
//
// Each datagram meets its fate alone: one that is delayed holds up no other, so delays with jitter reorder, as they do in networks. Rules act on whole
// datagrams, also on one that holds several StatsD metrics: a rule about any of them takes all of them.
//
// Nothing pairs answers with questions. Both answers to a question that was delivered twice return, as they would; an answer is lost by a rule for the
// direction to the client. The class that decisions are hashed by is the type and name of a DNS question (parts of the name that look like an identifier are one), or the
// name of the first metric. Datagrams of other protocols are all of one class: the same seed chooses the same numbers among them, and which datagrams
// have these is up to the order of arrival.
//
// # What cannot be as without us
//
// A dependency whose port is closed answers with ICMP, which we cannot pass on: the client sees silence. Counters.Refused counts these answers. Ends of
// connections do not exist, so a client is forgotten when it was idle for a while, or was idle for the longest of too many; an answer that comes later is lost.
//
// # Loss that is not ours
//
// The kernel drops datagrams where a socket's buffer is full, and tells nobody. Loss reads what it counts at the link's sockets and the dependency's, so that
// a missing effect is not blamed on the system under test. What the dependency's own process throws away is not in it.
package datagram
