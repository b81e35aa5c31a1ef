package machine

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Tally counts, for each of several drills, how often its verdict was the true one. The zero value is empty. Its methods
// may be called by several goroutines.
type Tally struct {
	mu     sync.Mutex
	drills []*tallied
}

type tallied struct {
	name, truth        string
	right, wrong, busy int
	why                string // of the first wrong verdict
}

func (t *Tally) of(name, truth string) *tallied {
	for _, d := range t.drills {
		if d.name == name {
			return d
		}
	}
	d := &tallied{name: name, truth: truth}
	t.drills = append(t.drills, d)
	return d
}

// Judged counts a verdict on the drill of this name, whose true verdict is truth. Nothing is wrong with a true verdict.
func (t *Tally) Judged(name, truth string, wrong []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.of(name, truth)
	if len(wrong) == 0 {
		d.right++
		return
	}
	if d.wrong++; d.why == "" {
		d.why = strings.Join(strings.Fields(strings.Join(wrong, "; ")), " ")
	}
}

// Busy counts a run that showed nothing because this machine was busy, whether or not the drill is run again.
func (t *Tally) Busy(name, truth string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(name, truth).busy++
}

// String returns a table of Markdown with a line for each drill, and a last one for all together.
func (t *Tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all tallied
	var b strings.Builder
	b.WriteString("| drill | true verdict | right | inconclusive, since the machine was busy | wrong |\n|---|---|---|---|---|\n")
	line := func(d tallied) {
		wrong := fmt.Sprint(d.wrong)
		if d.why != "" {
			wrong += ": " + strings.ReplaceAll(d.why, "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s | %s | %d of %d | %d | %s |\n", d.name, strings.ReplaceAll(d.truth, "|", " or "), d.right, d.right+d.wrong, d.busy, wrong)
	}
	slices.SortFunc(t.drills, func(a, b *tallied) int { return strings.Compare(a.name, b.name) })
	for _, d := range t.drills {
		line(*d)
		all.right, all.wrong, all.busy = all.right+d.right, all.wrong+d.wrong, all.busy+d.busy
	}
	all.name = fmt.Sprintf("all %d", len(t.drills))
	line(all)
	return b.String()
}
