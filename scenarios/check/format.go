package check

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The functions in this file format parts of sentences. Those of names and lists return "" for an empty argument.

// of names a route: ` of "GET /a"`.
func of(route string) string {
	if route == "" {
		return ""
	}
	return " of " + strconv.Quote(route)
}

// quotedRoute names a route before a noun: `"GET /a" `.
func quotedRoute(route string) string {
	if route == "" {
		return ""
	}
	return strconv.Quote(route) + " "
}

// when names a window: " during the fault".
func when(w journal.Window) string {
	switch w {
	case journal.Before:
		return " before the fault"
	case journal.During:
		return " during the fault"
	case journal.After:
		return " after healing"
	}
	return ""
}

// because lists errors: ": timeout (7), reset (2)".
func because(errors map[string]int) string {
	if len(errors) == 0 {
		return ""
	}
	return ": " + topErrors(errors)
}

// topErrors lists the three most frequent kinds of errors, most frequent first.
func topErrors(errors map[string]int) string {
	names := make([]string, 0, len(errors))
	for name := range errors {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return errors[names[i]] > errors[names[j]] || (errors[names[i]] == errors[names[j]] && names[i] < names[j])
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, Count(errors[name]))
	}
	return strings.Join(names[:min(3, len(names))], ", ")
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// percent formats a ratio as sentences do: 99%, 99.9%.
func percent(ratio float64) string {
	return strconv.FormatFloat(round(ratio*100, 4), 'f', -1, 64) + "%"
}

func round(f float64, digits int) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
	return s
}

// ratio formats "93.1% (1,841 of 1,977)", for reasons.
func ratio(n, of int) string {
	if of == 0 {
		return "0 of 0"
	}
	return fmt.Sprintf("%.1f%% (%s of %s)", 100*float64(n)/float64(of), Count(n), Count(of))
}

// observed formats a ratio with its interval: "93.1% (1,841 of 1,977; 95% CI 91.9% to 94.2%)".
func observed(n, of int) string {
	if of == 0 {
		return ratio(n, of)
	}
	lower, upper := RatioInterval(n, of)
	return strings.TrimSuffix(ratio(n, of), ")") + "; " + interval(share(lower), share(upper)) + ")"
}

// quantile formats a percentile (0..100) of a histogram: "210ms (95% CI 200ms to 230ms)".
func quantile(buckets []journal.Bucket, percentile float64) string {
	at := duration(journal.Quantile(buckets, percentile))
	if percentile >= 100 || journal.Count(buckets) == 0 { // the slowest of all is not an estimate
		return at
	}
	lower, upper, known := QuantileInterval(buckets, percentile)
	if !known {
		return fmt.Sprintf("%s (%s CI from %s)", at, percent(confidence), duration(lower))
	}
	return fmt.Sprintf("%s (%s)", at, interval(duration(lower), duration(upper)))
}

// interval formats an interval: "95% CI 91.9% to 94.1%".
func interval(from, to string) string {
	return fmt.Sprintf("%s CI %s to %s", percent(confidence), from, to)
}

// share formats a ratio with one digit after the point, or up to four if it is small: 93.1%, 0.042%.
func share(ratio float64) string {
	digits := 1
	for p := 100 * ratio; p > 1e-6 && p < 1 && digits < 4; p *= 10 {
		digits++
	}
	return strconv.FormatFloat(100*ratio, 'f', digits, 64) + "%"
}

// Count formats a number with commas between thousands.
func Count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration formats a duration with about three significant digits.
func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// Duration formats a duration as sentences do: "800ms", "2s", "1m30s", "5m".
func Duration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

// number formats a number as sentences do: 1.5, 300, 1000000.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// tolerance returns by how much a time may exceed its limit: measuring adds a little itself.
func tolerance(d time.Duration) time.Duration { return max(d/10, 50*time.Millisecond) }
