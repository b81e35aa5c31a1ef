package scenarios

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// described describes the load for people: "100 requests per second".
func (l *Load) described() string {
	switch l.Shape {
	case Closed:
		if l.Think > 0 {
			return fmt.Sprintf("%s who think %s in between", counted(l.Users, "user"), check.Duration(l.Think))
		}
		return counted(l.Users, "user")
	case Counted:
		return "counted requests"
	}
	return fmt.Sprintf("%g requests per second", l.Rate)
}

// RateChange is an action that changes the rate of an open load: ChangeLoad, SpikeLoad, SwingLoad or ReplayLoad.
type RateChange interface {
	Action
	// Course returns what the rate does from the beginning of the step on. There is at least one stretch, the first
	// begins at 0, and the last has no end.
	Course() []Stretch
	// Takes returns how long the step lasts. After it, the rate is that of the last stretch.
	Takes() time.Duration
	// Of returns the name of the load; "" if it has none.
	Of() string
	// of returns the change of the load with a name.
	of(load string) RateChange
}

// Stretch is a part of the course of a rate, in requests per second. It lasts until the next one begins.
type Stretch struct {
	After    time.Duration // since the beginning of the step
	From, To float64       // the rate changes linearly from From to To within Over, and then stays To
	Over     time.Duration
	Swing    *Swing // if it is not nil, the rate follows it instead
}

// Swing is a sine: after t the rate is Mean + Amplitude*sin(Phase + 2*pi*t/Every). Amplitude is at most Mean.
type Swing struct {
	Mean, Amplitude float64
	Phase           float64 // radians
	Every           time.Duration
}

// ends returns the lowest and the highest rate after the change.
func ends(c RateChange) (lowest, highest float64) {
	course := c.Course()
	last := course[len(course)-1]
	if w := last.Swing; w != nil {
		return w.Mean - w.Amplitude, w.Mean + w.Amplitude
	}
	return last.To, last.To
}

// PeakRate returns the highest rate of a change.
func PeakRate(c RateChange) float64 {
	highest := 0.0
	for _, s := range c.Course() {
		if w := s.Swing; w != nil {
			highest = max(highest, w.Mean+w.Amplitude)
			continue
		}
		highest = max(highest, s.To)
		if s.Over > 0 {
			highest = max(highest, s.From)
		}
	}
	return highest
}

// requestsDue returns approximately how many requests are due while the step lasts.
func requestsDue(c RateChange) (n float64) {
	course := c.Course()
	for i, s := range course {
		lasts := c.Takes() - s.After
		if i+1 < len(course) {
			lasts = course[i+1].After - s.After
		}
		if w := s.Swing; w != nil {
			n += w.Mean * lasts.Seconds()
			continue
		}
		n += (s.From+s.To)/2*min(s.Over, lasts).Seconds() + s.To*max(0, lasts-s.Over).Seconds()
	}
	return n
}

// ChangeLoad changes the rate from From to To over the time Over. If Over is 0, it changes immediately. The step
// lasts until the rate is reached.
type ChangeLoad struct {
	Load     string  `json:",omitempty"` // its name, if it has one
	From, To float64 // requests per second
	Over     time.Duration
}

// Course implements RateChange.
func (c ChangeLoad) Course() []Stretch { return []Stretch{{From: c.From, To: c.To, Over: c.Over}} }

// Takes implements RateChange.
func (c ChangeLoad) Takes() time.Duration { return c.Over }

// SpikeLoad changes the rate from From to To at once, and back after For. The step lasts as long.
type SpikeLoad struct {
	Load     string  `json:",omitempty"` // its name, if it has one
	From, To float64 // requests per second
	For      time.Duration
}

// Course implements RateChange.
func (c SpikeLoad) Course() []Stretch {
	return []Stretch{{From: c.To, To: c.To}, {After: c.For, From: c.From, To: c.From}}
}

// Takes implements RateChange.
func (c SpikeLoad) Takes() time.Duration { return c.For }

// SwingLoad lets the rate swing between Low and High as a sine with the period Every, until another step changes it.
// It begins at From, rising, so that the rate does not jump. The step takes no time.
type SwingLoad struct {
	Load            string  `json:",omitempty"` // its name, if it has one
	From, Low, High float64 // requests per second; From is the rate before and is set by Builder and sentences
	Every           time.Duration
}

// Course implements RateChange.
func (c SwingLoad) Course() []Stretch {
	w := &Swing{Mean: (c.Low + c.High) / 2, Amplitude: (c.High - c.Low) / 2, Every: c.Every}
	if w.Amplitude > 0 {
		w.Phase = math.Asin(max(-1, min(1, (c.From-w.Mean)/w.Amplitude)))
	}
	return []Stretch{{Swing: w}}
}

// Takes implements RateChange.
func (c SwingLoad) Takes() time.Duration { return 0 }

// ReplayLoad lets the rate follow a recording: each rate holds until the next one, and the last one stays. The step
// lasts until the last rate is reached.
type ReplayLoad struct {
	Load  string `json:",omitempty"` // its name, if it has one
	File  string // that the rates were read from; only for people
	Rates []RateAt
}

// RateAt is a rate of a recording, in requests per second.
type RateAt struct {
	At   time.Duration // since the recording began
	Rate float64
}

// Course implements RateChange.
func (c ReplayLoad) Course() []Stretch {
	var all []Stretch
	for _, r := range c.Rates {
		all = append(all, Stretch{After: r.At, From: r.Rate, To: r.Rate})
	}
	return all
}

// Takes implements RateChange.
func (c ReplayLoad) Takes() time.Duration {
	if len(c.Rates) == 0 {
		return 0
	}
	return c.Rates[len(c.Rates)-1].At
}

// Of implements RateChange.
func (c ChangeLoad) Of() string { return c.Load }

// Of implements RateChange.
func (c SpikeLoad) Of() string { return c.Load }

// Of implements RateChange.
func (c SwingLoad) Of() string { return c.Load }

// Of implements RateChange.
func (c ReplayLoad) Of() string { return c.Load }

func (c ChangeLoad) of(load string) RateChange { c.Load = load; return c }
func (c SpikeLoad) of(load string) RateChange  { c.Load = load; return c }
func (c SwingLoad) of(load string) RateChange  { c.Load = load; return c }
func (c ReplayLoad) of(load string) RateChange { c.Load = load; return c }

func (SpikeLoad) action()  {}
func (SwingLoad) action()  {}
func (ReplayLoad) action() {}

// MaxRate is the highest rate of a load, in requests per second.
const MaxRate = 100_000

// MaxRecording is the largest size of the file of a recording, in bytes; see ReadRates.
const MaxRecording = 4 << 20

// maxRateLines is how many lines a recording may have.
const maxRateLines = 100_000

// maxMistakes is how many mistakes in a recording are reported. In a file of another form each line is one.
const maxMistakes = 5

// ReadRates parses a recording: lines "second,rate", in order of time and the first at second 0. A first line of words,
// such as "second,rate", is skipped, and so are empty lines. The error is of type source.Problems, with the lines of
// the file.
func ReadRates(file string, raw []byte) ([]RateAt, error) {
	var out source.List
	var all []RateAt
	lines := strings.Split(strings.TrimPrefix(string(raw), "\ufeff"), "\n")
	for i, text := range lines {
		text = strings.TrimSuffix(text, "\r")
		if strings.TrimSpace(text) == "" || i == 0 && isHeading(text) {
			continue
		}
		at := source.Pos{File: file, Line: i + 1, Text: text}
		if len(all) == maxRateLines {
			out.Add(at, codes.TooLarge.Msgf("the recording has more than %d lines", maxRateLines), "record fewer rates, such as one a second")
			break
		}
		one, err := parseRate(text)
		if err == nil {
			err = one.follows(all)
		}
		if err != nil {
			what, hint := source.Parts(err)
			out.Add(at, what, hint)
			if len(out.All) == maxMistakes {
				break
			}
			continue
		}
		all = append(all, one)
	}
	if len(all) < 2 && len(out.All) == 0 {
		out.Add(source.Pos{File: file}, codes.Missing.Msgf("a recording needs two rates or more"), "write a line for each: 0,100 and 10,250")
	}
	return all, out.Err()
}

// isHeading reports whether a line consists of words.
func isHeading(line string) bool { return !strings.ContainsAny(line, "0123456789") }

// parseRate parses a line of a recording.
func parseRate(line string) (RateAt, error) {
	cells := strings.Split(line, ",")
	if len(cells) != 2 {
		return RateAt{}, source.Mistakef(codes.BadValue, "write the second and the requests per second: 10,250", "the line has %d values instead of 2", len(cells))
	}
	second, err := source.ParseNumber(strings.TrimSpace(cells[0]))
	if err != nil {
		return RateAt{}, err
	}
	rate, err := source.ParseNumber(strings.TrimSpace(cells[1]))
	if err != nil {
		return RateAt{}, err
	}
	switch {
	case second > source.Longest.Seconds():
		return RateAt{}, source.Mistakef(codes.BadValue, "shorten the recording", "second %g is later than a day", second)
	case rate > MaxRate:
		return RateAt{}, source.Mistakef(codes.TooLarge, fmt.Sprintf("write at most %d", MaxRate), "%g requests per second are more than one machine sends", rate)
	}
	return RateAt{At: time.Duration(math.Round(second * float64(time.Second))), Rate: rate}, nil
}

// follows returns an error if a rate cannot follow earlier ones.
func (r RateAt) follows(earlier []RateAt) error {
	switch {
	case len(earlier) == 0 && r.At != 0:
		return source.Mistakef(codes.BadValue, "let the first line be that of second 0: 0,100", "the recording begins at second %g", r.At.Seconds())
	case len(earlier) > 0 && r.At <= earlier[len(earlier)-1].At:
		return source.Mistakef(codes.BadValue, "sort the lines by second, and write each second once", "second %g does not come after second %g", r.At.Seconds(), earlier[len(earlier)-1].At.Seconds())
	}
	return nil
}
