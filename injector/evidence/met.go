package evidence

import "fmt"

// Met describes what a fault affected on all its links, in a few words, and reports whether it affected anything.
func Met(links ...Tally) (text string, acted bool) {
	var sum Tally
	for _, t := range links {
		sum.Unit = t.Unit
		sum.Seen += t.Seen
		sum.Affected += t.Affected
		sum.Idle += t.Idle
	}
	unit := sum.Unit
	if unit == "traffic" {
		unit = "pieces of traffic"
	}
	switch {
	case sum.Affected > 0 && sum.Seen >= sum.Affected:
		text = fmt.Sprintf("%d of %d %s affected", sum.Affected, sum.Seen, unit)
	case sum.Affected > 0:
		text = fmt.Sprintf("%d %s affected", sum.Affected, unit)
	case sum.Idle > 0:
		return fmt.Sprintf("only idle connections affected: %d", sum.Idle), true
	case sum.Seen > 0:
		return fmt.Sprintf("it affected none of the %d %s that it met", sum.Seen, unit), false
	default:
		return fmt.Sprintf("it met nothing: no %s that it could act on came while it was live", unit), false
	}
	return text, true
}
