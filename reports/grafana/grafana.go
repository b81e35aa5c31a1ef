// Package grafana marks a run on the dashboards of Grafana.
//
// The source of the HTTP API is https://grafana.com/docs/grafana/latest/developers/http_api/annotations/.
package grafana

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// sendWithin is how long Grafana may take for all annotations of a run.
const sendWithin = 15 * time.Second

// annotation is the body of a request: a region of time.
type annotation struct {
	Time    int64    `json:"time"` // milliseconds since 1970, like TimeEnd
	TimeEnd int64    `json:"timeEnd"`
	Tags    []string `json:"tags"`
	Text    string   `json:"text"`
}

// CheckAddress returns an error if no Grafana can be at base.
func CheckAddress(base string) error {
	if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the address of Grafana is a URL such as http://127.0.0.1:3000")
	}
	return nil
}

// Annotate adds an annotation for each scenario and each fault of a run to the Grafana at base, an address such as
// https://grafana.example.com. They have the tag "firedrill", and "scenario" or "fault". token is that of a service
// account that may write annotations, or "". The first error ends it: what was added stays.
func Annotate(ctx context.Context, base, token string, b *journal.Book) error {
	at, err := url.JoinPath(base, "api", "annotations")
	if err != nil {
		return fmt.Errorf("annotate the dashboards of Grafana: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	for _, a := range annotations(b) {
		if err := post(ctx, at, token, a); err != nil {
			return fmt.Errorf("annotate the dashboards of Grafana: %w", err)
		}
	}
	return nil
}

func annotations(b *journal.Book) (all []annotation) {
	add := func(from, to time.Duration, text, tag string) {
		all = append(all, annotation{b.Run.Began.Add(from).UnixMilli(), b.Run.Began.Add(max(from, to)).UnixMilli(), []string{"firedrill", tag}, text})
	}
	for _, h := range b.Scenarios {
		add(h.Began, h.Ended, fmt.Sprintf("%s: %s (run %s)", h.Name, reports.OutcomeOf(b, h), b.Run.ID), "scenario")
		for _, f := range h.CombinedFaults() {
			if f.Healed == 0 {
				add(f.Injected, h.Ended, f.Sentence+" (not healed)", "fault")
				continue
			}
			add(f.Injected, f.Healed, f.Sentence, "fault")
		}
	}
	return all
}

// client follows no redirect: it would ask there for annotations, instead of adding one.
var client = http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func post(ctx context.Context, at, token string, a annotation) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // only for the error
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s: %s", req.URL.Redacted(), resp.Status, bytes.TrimSpace(said))
	}
	return nil
}
