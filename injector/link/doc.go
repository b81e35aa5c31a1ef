// Package link is one dependency reached through us: a listener, its connections, a byte pump, and the stream faults.
//
// Open a Link in front of an address and point the client at Addr. Delay, Limit, Slice, CutOff, CloseAfter, CloseSlowly, Reset, Refuse, HalfOpen, AcceptSlowly
// and StallTLS put faults on it (and Toxic any of Toxiproxy's, by name), on live connections and new ones alike, and return the Heal that takes them off again. On says which
// connections a fault acts on.
//
// # How it is made, and why
//
// A connection is two copies between the client's socket and the upstream's, one goroutine each. Stream faults live in one place, conn: its
// Read is the way to the server, its Write the way to the client. With no live fault both go straight to the socket. With one, a
// direction becomes a queue of chunks stamped with their arrival, and every live stage is asked when the chunk at its head is due.
// Because stages are asked anew each time, a fault goes on or off at any moment by changing the list of stages: nothing in the queue is
// lost, doubled or reordered, and healing has nothing to wait for, even when a receiver is stalled. A message relay (Config.Serve) works on
// the same conn, so stream faults act between the client's socket and the relay.
//
// Toxiproxy runs each fault as a goroutine between channels instead; that is where its deadlocks and its bias of jitter come from. Toxics that are
// registered with it run here in the same way, each on a stub that stands before the queue. There the stub always listens to its toxic, so that neither
// healing nor the end of a connection has to wait for a reader, and what the toxic has when it is interrupted goes on in order.
//
// # The healthy way
//
// A direction that waits holds no buffer: it waits for readiness and borrows one for as long as bytes are under way, which keeps an idle
// connection at two goroutines and a few kilobytes. A direction that fills its buffer is busy and borrows a pipe, through which splice(2) moves bytes
// without copying them; at the first pause it gives the pipe back. io.Copy's own use of splice was judged and not taken: it holds a pipe for a
// connection's whole life (six descriptors a connection instead of two, and pipes shrink without privileges past some hundreds), and what is
// in the pipe is lost when a deadline ends the copy. With pipes lent and drained here, switching to a fault loses nothing.
//
// Times are kept by a clock of the kernel's where there is one (see clock), since the runtime's timers are late by half a millisecond.
//
// Half-closes are passed on as half-closes and resets as resets, both ways. An upstream that refuses shows to the client as a reset, never
// as an accepted connection that ends in order. (A Unix socket has no reset: it ends, with ECONNRESET only where something was left unread.)
//
// # TLS
//
// TLS passes through as bytes unless Config.TLS ends it here. Then the relay, or the pump, works inside, on connections that keep the ends apart:
// close_notify arrives as close_notify and FIN, a bare FIN as a bare FIN, so that what was cut off never looks complete, and a reset as a reset.
// Reading goes on behind close_notify to notice a reset; one that comes behind FIN is noticed at the next write.
package link
