package linktest

// TLSErrors returns the number of connections on which TLS failed.
func (l *Link) TLSErrors() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tlsFailed.n
}
