// Package datagram provides links for dependencies reached over UDP. A Link listens for clients, uses a socket
// of its own to the dependency for each client, and applies message faults.
//
// Open a Link in front of an address and send the client's datagrams to Addr. Rules are added through Relay and
// are those of package message: loss in either direction, duplicates at once or late, reordering, delay,
// corruption, truncation and, for DNS, answers with an error. Refuse closes the port; CutOff loses everything.
//
// # Design
//
// One goroutine reads from the clients and writes to the dependency; one goroutine for each client reads the
// answers. A datagram that no rule acts on is written from the buffer it was read into. A goroutine that waits
// for input holds no buffer. Held datagrams (delays, late copies) are in one queue of limited length and size; a
// datagram that does not fit is forwarded at once and reported as skipped.
//
// Datagrams are independent: a delayed one does not hold up others, so delays with jitter reorder datagrams, as
// in real networks. Rules act on whole datagrams. A datagram with several StatsD metrics is subject to a rule
// for any of them.
//
// Answers are not paired with questions. If a question is delivered twice, both answers are returned. To lose an
// answer, use a rule for the direction to the client. Decisions depend on the class of a datagram: the type and
// name of a DNS question, with identifiers replaced, or the name of the first metric. The datagrams of other
// protocols belong to a single class: the same seed chooses the same positions in the sequence, but which
// datagrams have these positions depends on the order of arrival.
//
// # Differences from a direct connection
//
// If the dependency's port is closed, its host answers with ICMP, which the link cannot forward: the client
// receives nothing. Counters.Refused counts these answers. UDP has no end of a connection, so a client is
// forgotten when it has been idle for some time, or has been idle longest of too many clients; later answers to
// it are lost.
//
// # Loss not caused by faults
//
// The kernel silently drops datagrams if a socket's buffer is full. Loss reads the kernel's counters for the
// sockets of the link and of the dependency, so that a missing effect is not attributed to the system under
// test. It does not include datagrams that the dependency's process itself discards.
package datagram
