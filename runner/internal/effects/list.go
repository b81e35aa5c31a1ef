package effects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Limits of a list of effects. A list is read as a stream, so that a long one takes time but no
// memory.
const (
	maxListBytes  = 4 << 30
	maxItemBytes  = 1 << 20 // of one effect, or of one other field of the object that holds the list
	maxNameBytes  = 4 << 10 // of a key or an id
	listStall     = 10 * time.Second
	maxListTime   = 5 * time.Minute
	excerptLength = 60
)

// errNull is returned for a list that is null. Some services write null as long as there is nothing to
// list.
var errNull = errors.New("it is null: it must be an array of objects with a \"key\" each, or [] if there are none")

// listing is the metadata of a list of effects.
type listing struct {
	items      int
	total      int64  // as stated by the list in a header or a field; -1 if not stated
	group      string // the field that effects are grouped by; "" if they are not
	partReason string // why this is known to be only a page; "" if it is not known
}

// fetchEffects reads a list of effects from a URL and calls each for every effect. group is the field that effects are
// grouped by, or "".
func fetchEffects(ctx context.Context, t load.Trust, method, url, group string, each func(journal.Effect) error) (listing, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxListTime, fmt.Errorf("it was not complete within %s", maxListTime))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stall := time.AfterFunc(listStall, func() { stop(fmt.Errorf("no data was received for %s", listStall)) })
	defer stall.Stop()
	l, err := fetchList(ctx, t, method, url, group, stall, each)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the connection's error says only that it was canceled
	}
	return l, err
}

func fetchList(ctx context.Context, t load.Trust, method, url, group string, stall *time.Timer, each func(journal.Effect) error) (listing, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return listing{}, err
	}
	req.Header.Set("Accept", "application/json")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialTLSContext: t.Dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return listing{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode/100 == 3:
		return listing{}, fmt.Errorf("status %d: redirects are not followed: use the path %q instead", resp.StatusCode, resp.Header.Get("Location"))
	case resp.StatusCode/100 != 2:
		return listing{}, fmt.Errorf("status %d: the status must be 200", resp.StatusCode)
	}
	l, err := decodeEffects(stallReader{resp.Body, stall}, group, each)
	if err != nil {
		return l, err
	}
	l.noteHeaders(resp.StatusCode, resp.Header)
	return l, l.checkComplete()
}

// stallReader is a body that resets a timer whenever bytes arrive.
type stallReader struct {
	io.Reader
	stall *time.Timer
}

func (w stallReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.stall.Reset(listStall)
	}
	return n, err
}

// noteHeaders evaluates what the headers of an answer state about further pages.
func (l *listing) noteHeaders(status int, h http.Header) {
	for _, link := range h.Values("Link") {
		if strings.Contains(strings.ReplaceAll(strings.ToLower(link), `"`, ""), "rel=next") {
			l.partReason = `the header Link names a next page`
		}
	}
	if n, err := strconv.ParseInt(h.Get("X-Total-Count"), 10, 64); err == nil {
		l.total = max(l.total, n)
	}
	if _, all, ok := strings.Cut(h.Get("Content-Range"), "/"); ok {
		if n, err := strconv.ParseInt(strings.TrimSpace(all), 10, 64); err == nil && !strings.HasPrefix(strings.ToLower(h.Get("Content-Range")), "bytes") {
			l.total = max(l.total, n)
		}
	}
	if status == http.StatusPartialContent && l.partReason == "" {
		l.partReason = "status 206 says that it is partial"
	}
}

// checkComplete returns an error if the list is known to be incomplete.
func (l *listing) checkComplete() error {
	if l.partReason == "" && l.total > int64(l.items) {
		l.partReason = fmt.Sprintf("it reports a total of %s", check.Count(l.total))
	}
	if l.partReason == "" {
		return nil
	}
	return fmt.Errorf("it lists only %s effects: %s: read effects from a place that lists all of them at once", check.Count(l.items), l.partReason)
}

// notePaging evaluates a field that may state that there are further pages. If outer is set, it also
// looks into objects that usually contain such fields.
func (l *listing) notePaging(name string, raw json.RawMessage, outer bool) {
	switch strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name)) {
	case "next", "nextpage", "nextcursor", "nextpagetoken", "nexttoken", "nextlink", "nexturl",
		"continuationtoken", "lastevaluatedkey", "hasmore", "hasnext", "hasnextpage", "more", "truncated", "istruncated":
		if !slices.Contains([]string{"null", "false", "0", `""`, "{}", "[]"}, string(raw)) {
			l.partReason = fmt.Sprintf("its field %q is %s", name, excerpt(raw))
		}
	case "total", "totalcount", "totalitems", "totalresults", "totalelements", "count":
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			l.total = max(l.total, n)
		}
	case "meta", "metadata", "page", "pageinfo", "paging", "pagination", "links", "cursor", "cursors":
		var inner map[string]json.RawMessage
		if outer && json.Unmarshal(raw, &inner) == nil {
			for name, raw := range inner {
				l.notePaging(name, raw, false)
			}
		}
	}
}
