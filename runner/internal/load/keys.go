package load

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// KeyPrefix returns the prefix of the idempotency keys of a scenario, such as "a1b2c3-0d4e5f60".
func KeyPrefix(run string, scenario uint32) string { return fmt.Sprintf("%s-%08x", run, scenario) }

// FurtherPrefix returns the prefix of the keys of the load with an index above 0, such as "a1b2c3-0d4e5f60-l1". Those of
// the first load have the prefix of the scenario.
func FurtherPrefix(scenario string, index int) string { return scenario + "-l" + strconv.Itoa(index) }

// keyOf returns the key of request n, such as "a1b2c3-0d4e5f60-17".
func keyOf(prefix string, n uint64) string { return prefix + "-" + strconv.FormatUint(n, 10) }

// NumberOf returns the number of the request with a key. It returns false for a key of another load.
func NumberOf(prefix, key string) (uint64, bool) {
	text, ok := strings.CutPrefix(key, prefix+"-")
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && err == nil
}

// keyForm matches the keys that KeyPrefix, FurtherPrefix and keyOf make, and those of further steps of a chain.
var keyForm = regexp.MustCompile(`^(?:[0-9]+\.)?[0-9a-f]{6}-[0-9a-f]{8}(?:-l[0-9]+)?-[0-9]+$`)

// IsRunKey reports whether a key has the form of the keys that loads send.
func IsRunKey(key string) bool { return keyForm.MatchString(key) }
