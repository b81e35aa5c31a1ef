package scenarios

import (
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

var (
	amountAndUnit = regexp.MustCompile(`^(-?\d[\d.,]*) ?([A-Za-zµ]*)$`)
	units         = map[string]time.Duration{
		"us": time.Microsecond, "µs": time.Microsecond,
		"ms": time.Millisecond, "millisecond": time.Millisecond, "milliseconds": time.Millisecond,
		"s": time.Second, "second": time.Second, "seconds": time.Second,
		"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
		"h": time.Hour, "hour": time.Hour, "hours": time.Hour,
	}
	sizes = map[string]float64{"b": 1, "byte": 1, "bytes": 1, "kb": 1e3, "kib": 1 << 10, "mb": 1e6, "mib": 1 << 20, "gb": 1e9, "gib": 1 << 30}
)

// longest is the longest duration in an experiment.
const longest = 24 * time.Hour

// parseDuration parses "800ms", "2s", "1.5 minutes", "1m30s". A duration must be above 0 and at most a day.
func parseDuration(s string) (time.Duration, error) {
	d, err := parseDelay(s)
	if err == nil && d == 0 {
		return 0, mistakef("it has to be above 0", "%q is not a time that can pass", s)
	}
	return d, err
}

// parseDelay is parseDuration for durations that may be 0: "0ms".
func parseDelay(s string) (time.Duration, error) {
	const write = "write 800ms, 2s, 5m or 30 seconds"
	var d time.Duration
	found := amountAndUnit.FindStringSubmatch(s)
	switch {
	case found == nil:
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, mistakef(write, "%q is not a duration", s)
		}
	case found[2] == "":
		return 0, mistakef(write, "%q has no unit", s)
	default:
		n, err := strconv.ParseFloat(found[1], 64)
		unit, known := units[strings.ToLower(found[2])]
		if err != nil || !known {
			return 0, mistakef(write, "%q is not a duration", s)
		}
		if f := n * float64(unit); math.Abs(f) <= float64(longest)*2 {
			d = time.Duration(math.Round(f))
		} else {
			d = 2 * longest
		}
	}
	if d < 0 {
		return 0, mistakef("it has to be above 0", "%q is not a time that can pass", s)
	}
	if d > longest {
		return 0, mistakef("write 24h or less", "%q is longer than a day", s)
	}
	return d, nil
}

// parseNumber parses "50" and "1.5". A number must not be negative.
func parseNumber(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, mistakef("write 50 or 1.5", "%q is not a number from 0 up", s)
	}
	return n, nil
}

// parsePercent parses "99.9%" as 0.999.
func parsePercent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || n < 0 || n > 100 || math.IsNaN(n) {
		return 0, mistakef("write a percentage from 0% to 100%", "%q is not a share", s)
	}
	return math.Round(n*1e9) / 1e11, nil
}

// parseSize parses "64 KB" as 64000.
func parseSize(s string) (int64, error) {
	found := amountAndUnit.FindStringSubmatch(s)
	if found != nil {
		n, err := strconv.ParseFloat(found[1], 64)
		unit, known := sizes[strings.ToLower(found[2])]
		if err == nil && known && n*unit >= 1 && n*unit < 1<<50 {
			return int64(n * unit), nil
		}
	}
	return 0, mistakef("write 512 B, 64 KB or 2 MB", "%q is not a size", s)
}

// parseLimit parses a size or a duration. The other one is 0.
func parseLimit(s string) (size int64, d time.Duration, err error) {
	unit := ""
	if found := amountAndUnit.FindStringSubmatch(s); found != nil {
		unit = strings.ToLower(found[2])
	}
	if sizes[unit] > 0 {
		size, err = parseSize(s)
		return size, 0, err
	}
	if d, err = parseDuration(s); err != nil && units[unit] == 0 {
		err = mistakef("write 4 KB or 2s", "%q is neither a size nor a duration", s)
	}
	return 0, d, err
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// parseRoute parses "POST /orders".
func parseRoute(s string) (method, path string, err error) {
	method, path, ok := strings.Cut(s, " ")
	if !ok || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \t\r\n") {
		return "", "", mistakef("write method and path, as in \"GET /catalog\"", "%q is not a route", s)
	}
	if !slices.Contains(methods, method) {
		return "", "", mistakef("write one of "+strings.Join(methods, ", "), "%q is not a method of HTTP", method)
	}
	if before, _, ok := strings.Cut(path, "#"); ok {
		return "", "", mistakef("leave it out: "+strconv.Quote(method+" "+before), "%q has a fragment, which no request carries", s)
	}
	if err := noControl(s); err != nil {
		return "", "", err
	}
	return method, path, nil
}

// notAnOperation returns the error for a text that is neither a route, nor a path, nor a gRPC method.
func notAnOperation(s string) error {
	_, _, err := parseRoute(s)
	switch {
	case strings.Contains(s, " "):
		return err
	case strings.Contains(s, "/"):
		return mistakef("begin with a slash: "+strconv.Quote("/"+s), "%q is not a route", s)
	}
	return mistakef("write method and path, as in \"GET /catalog\", or a method of gRPC, as in \"/shop.Payments/Charge\"", "%q is not a route", s)
}

// controlIn returns the first control character in s other than tabs and line ends, and its byte offset. The
// offset is -1 if there is none.
func controlIn(s string) (rune, int) {
	for i, c := range s {
		if unicode.IsControl(c) && !strings.ContainsRune("\t\r\n", c) {
			return c, i
		}
	}
	return 0, -1
}

// noControl returns an error if s contains a control character.
func noControl(s string) error {
	if c, i := controlIn(s); i >= 0 {
		return mistakef("leave it out", "%q holds the control character %U", s, c)
	}
	return nil
}

// parseHeader parses "X-Degraded: true".
func parseHeader(s string) (*Header, error) {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || value == "" || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return nil, mistakef("write name and value, as in \"X-Degraded: true\"", "%q is not a header", s)
	}
	return &Header{Name: http.CanonicalHeaderKey(name), Value: value}, nil
}

// split splits "a, b" into names.
func split(s string) []string {
	var all []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}
