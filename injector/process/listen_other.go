//go:build !linux

package process

// listening reports whether an endpoint accepts connections. Which process listens is known on Linux
// only, so it is assumed to be a member while there are members. UDP cannot be checked.
func listening(e Endpoint, f *family) listeners {
	members := f.alive()
	if e.Network == "udp" {
		return listeners{any: len(members) > 0, members: len(members) > 0}
	}
	any := accepts(e)
	return listeners{any: any, members: any && len(members) > 0}
}

func listeningAddresses([]member) []string { return nil }

// socketsAt and sharing require /proc of Linux.
func socketsAt(Endpoint) map[string]bool { return nil }

func sharing(Endpoint, *family) []string { return nil }
