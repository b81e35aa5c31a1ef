package source

import (
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
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

// Longest is the longest duration in an experiment.
const Longest = 24 * time.Hour

// ParseDuration parses "800ms", "2s", "1.5 minutes", "1m30s". A duration must be above 0 and at most a day.
func ParseDuration(s string) (time.Duration, error) {
	d, err := ParseDelay(s)
	if err == nil && d == 0 {
		return 0, Mistakef(codes.BadValue, "it has to be above 0", "%q is not a time that can pass", s)
	}
	return d, err
}

// ParseDelay is parseDuration for durations that may be 0: "0ms".
func ParseDelay(s string) (time.Duration, error) {
	const write = "write 800ms, 2s, 5m or 30 seconds"
	var d time.Duration
	found := amountAndUnit.FindStringSubmatch(s)
	switch {
	case found == nil:
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, Mistakef(codes.BadValue, write, "%q is not a duration", s)
		}
	case found[2] == "":
		return 0, Mistakef(codes.BadValue, write, "%q has no unit", s)
	default:
		n, err := strconv.ParseFloat(found[1], 64)
		unit, known := units[strings.ToLower(found[2])]
		if err != nil || !known {
			return 0, Mistakef(codes.BadValue, write, "%q is not a duration", s)
		}
		if f := n * float64(unit); math.Abs(f) <= float64(Longest)*2 {
			d = time.Duration(math.Round(f))
		} else {
			d = 2 * Longest
		}
	}
	if d < 0 {
		return 0, Mistakef(codes.BadValue, "it has to be above 0", "%q is not a time that can pass", s)
	}
	if d > Longest {
		return 0, Mistakef(codes.BadValue, "write 24h or less", "%q is longer than a day", s)
	}
	return d, nil
}

// ParseNumber parses "50" and "1.5". A number must not be negative.
func ParseNumber(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, Mistakef(codes.BadValue, "write 50 or 1.5", "%q is not a number from 0 up", s)
	}
	return n, nil
}

// ParsePercent parses "99.9%" as 0.999.
func ParsePercent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || n < 0 || n > 100 || math.IsNaN(n) {
		return 0, Mistakef(codes.BadValue, "write a percentage from 0% to 100%", "%q is not a share", s)
	}
	return math.Round(n*1e9) / 1e11, nil
}

// ParseSize parses "64 KB" as 64000.
func ParseSize(s string) (int64, error) {
	found := amountAndUnit.FindStringSubmatch(s)
	if found != nil {
		n, err := strconv.ParseFloat(found[1], 64)
		unit, known := sizes[strings.ToLower(found[2])]
		if err == nil && known && n*unit >= 1 && n*unit < 1<<50 {
			return int64(n * unit), nil
		}
	}
	return 0, Mistakef(codes.BadValue, "write 512 B, 64 KB or 2 MB", "%q is not a size", s)
}

// ParseLimit parses a size or a duration. The other one is 0.
func ParseLimit(s string) (size int64, d time.Duration, err error) {
	unit := ""
	if found := amountAndUnit.FindStringSubmatch(s); found != nil {
		unit = strings.ToLower(found[2])
	}
	if sizes[unit] > 0 {
		size, err = ParseSize(s)
		return size, 0, err
	}
	if d, err = ParseDuration(s); err != nil && units[unit] == 0 {
		err = Mistakef(codes.BadValue, "write 4 KB or 2s", "%q is neither a size nor a duration", s)
	}
	return 0, d, err
}

var Methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// ParseRoute parses "POST /orders".
func ParseRoute(s string) (method, path string, err error) {
	method, path, ok := strings.Cut(s, " ")
	if !ok || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \t\r\n") {
		return "", "", Mistakef(codes.BadValue, "write method and path, as in \"GET /catalog\"", "%q is not a route", s)
	}
	if !slices.Contains(Methods, method) {
		return "", "", Mistakef(codes.BadValue, "write one of "+strings.Join(Methods, ", "), "%q is not a method of HTTP", method)
	}
	if before, _, ok := strings.Cut(path, "#"); ok {
		return "", "", Mistakef(codes.BadValue, "leave it out: "+strconv.Quote(method+" "+before), "%q has a fragment, which no request carries", s)
	}
	if err := NoControl(s); err != nil {
		return "", "", err
	}
	return method, path, nil
}

// NotAnOperation returns the error for a text that is neither a route, nor a path, nor a gRPC method.
func NotAnOperation(s string) error {
	_, _, err := ParseRoute(s)
	switch {
	case strings.Contains(s, " "):
		return err
	case strings.Contains(s, "/"):
		return Mistakef(codes.BadValue, "begin with a slash: "+strconv.Quote("/"+s), "%q is not a route", s)
	}
	return Mistakef(codes.BadValue, "write method and path, as in \"GET /catalog\", or a method of gRPC, as in \"/shop.Payments/Charge\"", "%q is not a route", s)
}

// ControlIn returns the first control character in s other than tabs and line ends, and its byte offset. The
// offset is -1 if there is none.
func ControlIn(s string) (rune, int) {
	for i, c := range s {
		if unicode.IsControl(c) && !strings.ContainsRune("\t\r\n", c) {
			return c, i
		}
	}
	return 0, -1
}

// NoControl returns an error if s contains a control character.
func NoControl(s string) error {
	if c, i := ControlIn(s); i >= 0 {
		return Mistakef(codes.BadValue, "leave it out", "%q holds the control character %U", s, c)
	}
	return nil
}

// ParseHeader parses "X-Degraded: true".
func ParseHeader(s string) (*Header, error) {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || value == "" || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return nil, Mistakef(codes.BadValue, "write name and value, as in \"X-Degraded: true\"", "%q is not a header", s)
	}
	return &Header{Name: http.CanonicalHeaderKey(name), Value: value}, nil
}

// Split splits "a, b" into names.
func Split(s string) []string {
	var all []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

// Header is a response header.
type Header struct{ Name, Value string }

// EscapeURL escapes a text so that it can stand anywhere in a URL.
func EscapeURL(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
