package aggregate

import (
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

type sampleBuilder struct {
	journal.Sample
	latency, good, waited *hdrhistogram.Histogram
	slip                  slips
	rejections            map[int]*rejectionBuilder // by status
}

type rejectionBuilder struct {
	retryAfter int
	took       *hdrhistogram.Histogram
}

// reject counts the answer to the last attempt of a request that did not succeed.
func (s *sampleBuilder) reject(a load.Attempt) {
	r := s.rejections[a.Status]
	if r == nil {
		r = &rejectionBuilder{took: histogram()}
		s.rejections[a.Status] = r
	}
	record(r.took, a.Took)
	if a.Answer.HasRetryAfter {
		r.retryAfter++
	}
}

// finish completes the sample for the journal.
func (s *sampleBuilder) finish() *journal.Sample {
	sample := s.Sample
	sample.Latency, sample.Good, sample.Waited, sample.Slip = buckets(s.latency), buckets(s.good), buckets(s.waited), s.slip.buckets()
	for _, status := range slices.Sorted(maps.Keys(s.rejections)) {
		r := s.rejections[status]
		sample.Rejections = append(sample.Rejections, journal.Rejection{Status: status, RetryAfter: r.retryAfter, Took: buckets(r.took)})
	}
	return &sample
}

// Request counts one request of the load; due and end are on the run's clock. A request that the runner
// itself aborted shows nothing about the system and is not counted.
func (a *Aggregator) Request(e load.Result, due, end time.Duration) journal.Window {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.inFlight, requestID{e.Load, e.N})
	if e.Kind == load.Aborted {
		w, _ := a.window(due, end)
		return w
	}
	if e.Unsent {
		s, _ := a.sampleFor(due, end, e.Load, e.Copy, e.Route, false)
		s.Unsent++
		return s.Window
	}
	if e.OneWay {
		s, _ := a.sampleFor(due, end, e.Load, e.Copy, e.Route, a.settings.Paused(due, end))
		s.OneWay++
		s.Wire += e.Wire
		s.slip.add(e.Began().Sub(e.Due))
		a.recent.requests++
		return s.Window
	}
	good := e.Outcome == load.Acknowledged && (a.settings.FallbackIsSuccess || !e.Fallback)
	a.countEnd(end, end-due, good)
	for _, o := range a.outages {
		// A request that succeeded at its first attempt was answered before the outage took effect.
		if end >= o.from && (e.Outcome != load.Acknowledged || e.Retries > e.Hedges) && slices.Contains(o.routes, e.Route) {
			o.requests++
		}
	}
	s, healed := a.sampleFor(due, end, e.Load, e.Copy, e.Route, a.settings.Paused(due, end))
	s.count(e, due, end, healed)
	if e.Outcome == load.Acknowledged {
		a.slowest = max(a.slowest, end-due)
	}
	a.recent.count(e, end-due, good)
	return s.Window
}

// count counts a request that was sent and was to be answered. healed is when healing began while it was in flight, or 0.
func (s *sampleBuilder) count(e load.Result, due, end, healed time.Duration) {
	took := end - due
	s.slip.add(e.Began().Sub(e.Due))
	s.Sent++
	s.Attempts += 1 + e.Retries
	s.Hedges += e.Hedges
	s.Wire += e.Wire
	for _, attempt := range e.Attempts {
		if attempt.Kind == load.TimedOut || attempt.Kind == load.Cancelled {
			s.GaveUp++
		}
	}
	record(s.latency, took)
	last := e.Attempts[len(e.Attempts)-1]
	switch {
	case e.Outcome == load.Acknowledged:
		if e.Fallback {
			s.Fallback++
		} else {
			s.OK++
		}
		record(s.good, took)
		if healed > 0 {
			record(s.waited, healed-due)
		}
	case e.Outcome == load.Refused:
		s.Refused++
	case e.Key == "" && last.Status != 0:
		s.Failed++
	default:
		s.Ambiguous++
	}
	if e.Outcome != load.Acknowledged && last.Status != 0 {
		s.reject(last)
	}
	if e.Outcome != load.Acknowledged && (s.FirstBad == 0 || due < s.FirstBad) {
		s.FirstBad = due
	}
	if e.Kind != "" {
		s.Errors[e.Kind]++
	}
}

// Unsent counts a request that was due but never sent.
func (a *Aggregator) Unsent(load, of, route string, due time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, _ := a.sampleFor(due, due, load, of, route, false)
	s.Unsent++
}

// sampleFor returns the sample in which a request is counted. If the request was in flight when
// healing began, it also returns that time.
func (a *Aggregator) sampleFor(due, end time.Duration, load, of, route string, paused bool) (*sampleBuilder, time.Duration) {
	from, _ := a.slice(due)
	w, healed := a.window(due, end)
	at := sliceKey{from, w, route, load, of, paused}
	s := a.samples[at]
	if s == nil {
		s = &sampleBuilder{
			Sample:  journal.Sample{From: from, Window: w, Load: load, Copy: of, Route: route, Paused: paused, Errors: map[string]int{}},
			latency: histogram(), good: histogram(), waited: histogram(), slip: slips{}, rejections: map[int]*rejectionBuilder{},
		}
		a.samples[at] = s
	}
	return s, healed
}
