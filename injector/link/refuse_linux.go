package link

import (
	"os"
	"strconv"
	"strings"
)

// refusedByKernel returns how many connects of this network namespace have failed before they were
// established, without the refused dials of links. It is AttemptFails of /proc/net/snmp (RFC 4022,
// tcpAttemptFails). ok is false if the number is not available.
func refusedByKernel() (n int64, ok bool) {
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return 0, false
	}
	own := refusedDials.Load()
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "AttemptFails" && i < len(fields) {
				n, err := strconv.ParseInt(fields[i], 10, 64)
				return n - own, err == nil
			}
		}
	}
	return 0, false
}
