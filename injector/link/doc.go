// Package link proxies one dependency of a service: it provides a listener, its connections, a byte
// pump, and stream faults.
//
// Open a Link in front of an address and make the client connect to Addr. Delay, Limit, Slice, CutOff,
// CloseAfter, CloseSlowly, Reset, Refuse, HalfOpen, AcceptSlowly and StallTLS add faults to the link, and
// Toxic adds any Toxiproxy toxic by name. Faults act on live and new connections, as selected by On. Each
// of these methods returns a Heal that removes the fault.
//
// # Design
//
// A connection is copied in both directions between the client's and the upstream's socket, by one
// goroutine each. Stream faults are implemented in one place, conn: its Read is the direction to the
// server, its Write the direction to the client. While no fault is live, both use the socket directly.
// While a fault is live, a direction is a queue of chunks with their arrival times, and all live stages
// together decide when the first chunk may leave. Stages are asked anew each time, so a fault can be added
// or removed at any moment by changing the list of stages. Nothing in the queue is lost, duplicated or
// reordered, and healing never waits, even if a receiver is stalled. A message relay (Config.Serve) uses
// the same conn, so stream faults act between the client's socket and the relay.
//
// Toxiproxy runs each fault as a goroutine between channels, which causes its deadlocks and its biased
// jitter. Toxics registered with it run in that way here, too, each in a stub in front of the queue. The
// stub always receives from its toxic, so neither healing nor the end of a connection waits for a reader.
// Chunks that the toxic holds when it is interrupted are forwarded in order.
//
// # Without faults
//
// A waiting direction holds no buffer. It waits for readiness and borrows a buffer while it moves bytes, so
// that an idle connection costs two goroutines and a few kilobytes. A direction that fills its buffer also
// borrows a pipe and moves bytes by splice(2) without copying them, until there is a pause. io.Copy uses
// splice too, but keeps a pipe for the whole life of a connection: six descriptors per connection instead
// of two, and pipes shrink without privileges beyond some hundreds. It also loses what is in the pipe when
// a deadline ends the copy. Borrowed pipes are drained first, so that switching to a fault loses nothing.
//
// Delays use a kernel timer where there is one (package internal/clock), because the runtime's timers
// are late by half a millisecond.
//
// Half-closes are forwarded as half-closes and resets as resets, in both directions. If the upstream
// refuses a connection, the client sees a reset, and never an accepted connection that is closed
// gracefully. A Unix socket cannot be reset: it is closed, and the peer gets ECONNRESET only if something
// was left unread.
//
// # TLS
//
// TLS is forwarded as bytes unless Config.TLS terminates it. Then the relay or the pump uses plaintext
// connections that preserve how the peer ended: close_notify is forwarded as close_notify and FIN, a bare
// FIN as a bare FIN, so that truncated data never looks complete, and a reset as a reset. Reading continues
// after close_notify to notice a reset. A reset after FIN is noticed at the next write.
package link
