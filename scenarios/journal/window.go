package journal

import "time"

// Window is the position of a request (or a call) relative to the faults, determined by when it was due and when
// it ended. Faults that are live at the same time, or immediately after one another, form one fault window.
// Windows are defined only here; Total describes how checks, tables and charts use them.
type Window string

// The windows. The empty Window means the whole run without the warm-up.
const (
	Warmup      Window = "warmup"       // due before the baseline began
	Before      Window = "before"       // ended before the first injection
	AtInjection Window = "at injection" // due before a fault acted, and in flight when its injection began; counted separately
	During      Window = "during"       // due and ended while a fault was live
	AtHealing   Window = "at healing"   // due while a fault was live, and in flight when healing began; counted separately
	Between     Window = "between"      // due after a healing, and before a later injection
	After       Window = "after"        // due after the last healing began
)

// reclassify returns the window of a slice that begins at from, given the time of the last healing. Slices restart
// at each healing.
func reclassify(w Window, from, healed time.Duration) Window {
	switch {
	case w == After && from < healed-time.Millisecond:
		return Between
	case w == Between && from >= healed-time.Millisecond:
		return After
	}
	return w
}

// inWindow reports whether a sample of the window got belongs to the window want.
func inWindow(got, want Window) bool { return got == want || (want == "" && got != Warmup) }

// inWindowOrEdge is inWindow, and includes what was in flight when a fault was injected or healed.
func inWindowOrEdge(got, want Window) bool {
	return inWindow(got, want) || want == During && (got == AtInjection || got == AtHealing)
}
