package probes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// askMetric reads a number from an answer over HTTP: a series in the text format of Prometheus or OpenMetrics, or a value
// in JSON.
func askMetric(p scenarios.Probe, t Target) ask {
	service, method, path, err := system.ParseAsk(p.Metric)
	return func(ctx context.Context) Answer {
		if err != nil {
			return Answer{Local: err.Error()}
		}
		status, body, a := Fetch(ctx, t, service, method, path, "")
		switch {
		case status == 0:
			return a
		case status/100 != 2:
			return Answer{Unanswered: fmt.Sprintf("status %d", status)}
		}
		value, err := number(p, body)
		switch {
		case err != nil:
			return Answer{Unanswered: err.Error()}
		case math.IsNaN(value) || math.IsInf(value, 0):
			return Answer{Unanswered: fmt.Sprintf("the value is %v", value)}
		}
		return Answer{Value: &value}
	}
}

func number(p scenarios.Probe, body []byte) (float64, error) {
	if p.JSON == "" {
		return sumOf(body, p.Series)
	}
	text, err := valueAt(body, p.JSON)
	if err != nil {
		return 0, err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %s, which is not a number", p.JSON, shorten(text))
	}
	return value, nil
}

// sumOf adds up the samples of a series in the text format of Prometheus or OpenMetrics. wanted is its name, with the
// labels that they need to have, such as orders_total{status="ok"}.
func sumOf(body []byte, wanted string) (sum float64, err error) {
	name, labels, err := parseSeries(wanted)
	if err != nil {
		return 0, err
	}
	found := false
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if !strings.HasPrefix(line, name) {
			continue
		}
		got, has, rest, err := cutSeries(line)
		if err != nil || got != name || !includes(has, labels) {
			continue
		}
		fields := strings.Fields(rest) // the value; a timestamp and, in OpenMetrics, an exemplar may follow
		if len(fields) == 0 {
			continue
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return 0, fmt.Errorf("the value of %s is %q, which is not a number", wanted, fields[0])
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("there is no series %s", wanted)
	}
	return sum, lines.Err()
}

// parseSeries parses a name with labels: orders_total{status="ok",code="201"}.
func parseSeries(s string) (name string, labels map[string]string, err error) {
	name, labels, rest, err := cutSeries(strings.TrimSpace(s))
	if err == nil && rest != "" {
		err = notSeries(s)
	}
	return name, labels, err
}

// cutSeries parses the name and the labels at the beginning of s, and returns what follows them. A brace in the value of
// a label does not end the labels.
func cutSeries(s string) (name string, labels map[string]string, rest string, err error) {
	name, rest, labels = s, "", map[string]string{}
	if end := strings.IndexAny(s, "{ \t"); end >= 0 {
		name, rest = s[:end], strings.TrimLeft(s[end:], " \t")
	}
	rest, ok := strings.CutPrefix(rest, "{")
	if !ok {
		return name, labels, rest, nil
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if after, ok := strings.CutPrefix(rest, "}"); ok {
			return name, labels, after, nil
		}
		label, after, ok := strings.Cut(rest, "=")
		after = strings.TrimLeft(after, " \t")
		quoted, err := strconv.QuotedPrefix(after)
		if !ok || err != nil {
			return "", nil, "", notSeries(s)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return "", nil, "", fmt.Errorf("the label %s of %q: %w", label, s, err)
		}
		labels[strings.TrimSpace(label)] = value
		rest = after[len(quoted):]
	}
}

func notSeries(s string) error { return fmt.Errorf(`%q is not a series: write name{label="value"}`, s) }

func includes(has, wanted map[string]string) bool {
	for label, value := range wanted {
		if has[label] != value {
			return false
		}
	}
	return true
}

// valueAt returns the value at a path of a JSON document, as text: a string without its quotes, and anything else as it
// is written.
func valueAt(document []byte, at string) (string, error) {
	path, err := source.ParseJSONPath(at)
	if err != nil {
		return "", err
	}
	raw, err := path.Find(document)
	if err != nil {
		return "", fmt.Errorf("the answer is not JSON: %w", err)
	}
	if raw != nil {
		return source.Text(raw), nil
	}
	n := 1 // how much of the path is missing
	for n < len(path) {
		if raw, _ := path[:n].Find(document); raw == nil {
			break
		}
		n++
	}
	return "", errors.New("there is nothing at " + strings.Join(path[:n], "."))
}
