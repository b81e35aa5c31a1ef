package effects

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
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

// listing is the metadata of a list of effects.
type listing struct {
	items      int
	total      int64  // as stated by the list in a header or a field; -1 if not stated
	partReason string // why this is known to be only a page; "" if it is not known
	next       string // the URL of the next page, if pages are followed; "" after the last
}

// List is a list of effects over HTTP. With the zero value of the other fields, it is an array, or the field "effects"
// of an object, of objects with "key" and "id", and has one page.
type List struct {
	Trust       load.Trust
	Method, URL string
	items       source.JSONPath // path of the array
	isPath      bool            // items is set, possibly to the path of the whole
	fields      Fields
	nextLink    bool            // the header Link names the next page
	next        source.JSONPath // path of the URL of the next page
}

// openHTTP returns the reader of a declared list.
func openHTTP(p Place) (Reader, error) {
	_, method, _, err := p.Route()
	if err != nil {
		return Reader{}, err
	}
	l := List{Trust: p.Trust, Method: method, URL: p.URL, nextLink: p.Settings["next"] == "Link"}
	if l.fields, err = NewFields(p); err != nil {
		return Reader{}, err
	}
	if items := p.Settings["items"]; items != "" {
		l.isPath = true
		if l.items, err = source.ParseJSONPath(items); err != nil {
			return Reader{}, err
		}
	}
	if next := p.Settings["next"]; next != "" && !l.nextLink {
		if !l.isPath {
			l.items = []string{"effects"}
		}
		l.next, err = source.ParseJSONPath(next)
	}
	return l.Reader(), err
}

// RouteReader returns the reader of a list that is not declared. group is the field that effects are grouped by, or "".
func RouteReader(t load.Trust, method, url, group string) Reader {
	return List{Trust: t, Method: method, URL: url, fields: Fields{group: group}}.Reader()
}

// Reader returns the reader of the list.
func (h List) Reader() Reader {
	return Reader{Read: func(ctx context.Context, each func(journal.Effect) error) error {
		_, err := h.read(ctx, each)
		return err
	}}
}

// maxPages limits the number of pages of a list.
const maxPages = 100_000

// read reads all pages of the list.
func (h List) read(ctx context.Context, each func(journal.Effect) error) (listing, error) {
	l := listing{total: -1}
	seen := map[string]bool{}
	for at := h.URL; ; {
		seen[at] = true
		l.next = ""
		if err := h.fetch(ctx, at, &l, each); err != nil {
			return l, err
		}
		if l.next == "" {
			return l, l.checkComplete()
		}
		next, err := follow(at, l.next)
		switch {
		case err != nil:
			return l, err
		case seen[next]:
			return l, fmt.Errorf("page %d names a next page that was read already: %q", len(seen), l.next)
		case len(seen) == maxPages:
			return l, fmt.Errorf("it has more than %d pages", maxPages)
		}
		at = next
	}
}

// follow returns the URL of a next page, which is relative to that of a page or has the same host.
func follow(at, next string) (string, error) {
	base, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	to, err := base.Parse(next)
	if err != nil {
		return "", fmt.Errorf("the next page cannot be read: %w", err)
	}
	if to.Scheme != base.Scheme || to.Host != base.Host {
		return "", fmt.Errorf("the next page is at %q, and the list at %q: only pages of one address are followed", to.Host, base.Host)
	}
	return to.String(), nil
}

// fetch reads a page.
func (h List) fetch(ctx context.Context, at string, l *listing, each func(journal.Effect) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxListTime, fmt.Errorf("it was not complete within %s", maxListTime))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stall := time.AfterFunc(listStall, func() { stop(fmt.Errorf("no data was received for %s", listStall)) })
	defer stall.Stop()
	err := h.page(ctx, at, stall, l, each)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the connection's error says only that it was canceled
	}
	return err
}

func (h List) page(ctx context.Context, at string, stall *time.Timer, l *listing, each func(journal.Effect) error) error {
	req, err := http.NewRequestWithContext(ctx, h.Method, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialTLSContext: h.Trust.Dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode/100 == 3:
		return fmt.Errorf("status %d: redirects are not followed: use the path %q instead", resp.StatusCode, resp.Header.Get("Location"))
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("status %d: the status must be 200", resp.StatusCode)
	}
	if err := h.decode(stallReader{resp.Body, stall}, l, each); err != nil {
		return err
	}
	l.noteHeaders(resp.StatusCode, resp.Header)
	if h.nextLink {
		l.next = nextLink(resp.Header)
	}
	if h.nextLink || h.next != nil { // only the total of all pages counts
		l.partReason = ""
	}
	return nil
}

// nextLink returns the URL that the header Link names as the next page, or "".
func nextLink(h http.Header) string {
	for link := range strings.SplitSeq(strings.Join(h.Values("Link"), ","), ",") {
		target, attributes, _ := strings.Cut(link, ";")
		if strings.Contains(strings.ReplaceAll(strings.ToLower(attributes), `"`, ""), "rel=next") {
			return strings.Trim(strings.TrimSpace(target), "<>")
		}
	}
	return ""
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
