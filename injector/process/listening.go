package process

// Listener is a TCP port of this machine at which a program listens.
type Listener struct {
	Port    uint16
	Program string // its name, and its first argument if that may be a script
}
