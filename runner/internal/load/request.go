package load

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// step is a request of a chain, with its texts parsed. A route without a chain is a single step.
type step struct {
	scenarios.Route
	path, body scenarios.Template
	keyed      bool // it carries the key of the request; another step carries one of its own
	reads      bool // no step of the chain is expected to change anything
	err        error
}

type header struct {
	name  string
	value scenarios.Template
}

// parse parses the texts of the load.
func (c *Client) parse() {
	for _, r := range c.Load.Mix {
		var chain []step
		var kept []string
		for i, one := range r.Steps() {
			s := step{Route: one, keyed: i == r.KeyStep(), reads: !c.Load.Changes(r)}
			s.path, s.body, s.err = one.Templates(kept)
			for _, k := range one.Keep {
				kept = append(kept, k.Name)
			}
			chain = append(chain, s)
		}
		c.chains = append(c.chains, chain)
	}
	for _, h := range c.Load.Headers {
		value, err := scenarios.ParseTemplate(h.Value, scenarios.Plain, nil)
		for i := range c.chains {
			for j := range c.chains[i] {
				if err != nil {
					c.chains[i][j].err = err
				}
			}
		}
		c.headers = append(c.headers, header{http.CanonicalHeaderKey(h.Name), value})
	}
}

// transaction is one request of the load while its steps are carried out. It is used by one goroutine.
type transaction struct {
	client  *Client
	n, body uint64 // the number of the request, and of the request whose body is sent
	kept    map[string]scenarios.Value
	jar     *cookiejar.Jar // nil if clients keep no cookies
}

func (c *Client) newTransaction(n, body uint64) *transaction {
	x := &transaction{client: c, n: n, body: body}
	if c.Load.Cookies {
		x.jar, _ = cookiejar.New(nil) // returns no error
	}
	return x
}

// keep stores the values of an answer that later steps need. If one is missing, the attempt did not succeed: keep
// changes it and returns false.
func (x *transaction) keep(s step, a *Attempt) bool {
	for _, k := range s.Keep {
		value, ok := k.Find(a.Answer.full)
		if !ok {
			a.Kind, a.Outcome = "no "+k.Name+" in the answer", Ambiguous
			return false
		}
		if x.kept == nil {
			x.kept = map[string]scenarios.Value{}
		}
		x.kept[k.Name] = value
	}
	return true
}

func (x *transaction) noteCookies(resp *http.Response) {
	if x.jar != nil {
		x.jar.SetCookies(resp.Request.URL, resp.Cookies())
	}
}

// target is what one attempt requests: a step, or a redirect of its answer.
type target struct {
	step   step
	index  int // of the step
	method string
	path   string // of a redirect, with its query; "" for the step itself
}

// redirect returns the target of an answer that is a redirect to follow, or nil.
func (c *Client) redirect(t target, resp *http.Response) *target {
	if !c.Load.Redirects || slices.Contains(t.step.Expect, resp.StatusCode) {
		return nil
	}
	next := t
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound:
		if t.method == http.MethodPost {
			next.method = http.MethodGet
		}
	case http.StatusSeeOther:
		if t.method != http.MethodHead {
			next.method = http.MethodGet
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	to, err := resp.Location()
	if err != nil || to.Scheme != resp.Request.URL.Scheme || to.Host != resp.Request.URL.Host && to.Host != resp.Request.Host {
		return nil
	}
	next.path = to.RequestURI()
	return &next
}

// request makes the request for a target.
func (c *Client) request(ctx context.Context, x *transaction, t target) (*http.Request, error) {
	s := t.step
	if s.err != nil {
		return nil, s.err
	}
	path, body := t.path, ""
	if path == "" {
		path = x.values(x.n, s.Name()+" path").fill(s.path)
	}
	if t.method == s.Method {
		body = x.bodyOf(s)
	}
	key := c.Key(x.n)
	if !s.keyed && key != "" {
		key = scenarios.StepKey(key, t.index)
	}
	if c.Load.Key.In == scenarios.InQuery && t.path == "" {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + url.QueryEscape(c.Load.Key.Name) + "=" + url.QueryEscape(key)
	}
	req, err := http.NewRequestWithContext(ctx, t.method, c.Trust.URL(c.Address(c.service(x.n, s)), path), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Close = c.Load.NewConnections
	req.Header.Set("Traceparent", traceparent(c.trace, x.n))
	if body != "" {
		req.Header.Set("Content-Type", s.ContentType())
	}
	if c.Load.Key.In == scenarios.InHeader {
		req.Header.Set(c.Load.Key.Name, key)
	}
	for _, h := range c.headers {
		value := x.values(x.n, h.name).fill(h.value)
		switch h.name {
		case "Content-Type": // became the type of the routes with a body
		case "Host":
			req.Host = value
		default:
			req.Header.Set(h.name, value)
		}
	}
	if x.jar != nil {
		for _, cookie := range x.jar.Cookies(req.URL) {
			req.AddCookie(cookie)
		}
	}
	return req, nil
}

// bodyOf returns the body of a step.
func (x *transaction) bodyOf(s step) string { return x.values(x.body, s.Name()+" body").fill(s.body) }
