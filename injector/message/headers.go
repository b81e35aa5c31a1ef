package message

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Header is a header of HTTP. In a change of headers, an empty Value removes it.
type Header struct{ Name, Value string }

// parseHeader parses "Name: value" or "Name".
func parseHeader(s string) Header {
	name, value, _ := strings.Cut(s, ":")
	return Header{strings.TrimSpace(name), strings.TrimSpace(value)}
}

// IsFraming reports whether a header says where a message ends, where it goes, or what follows it. A relay that changed it
// would send what is not a message.
func IsFraming(name string) bool {
	return strings.Contains(framingHeaders, " "+strings.ToLower(name)+" ")
}

const framingHeaders = " connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade "

// validateHeaders checks Headers.
func (r Rule) validateHeaders() error {
	if len(r.Headers) == 0 && r.Action != Answer {
		return fmt.Errorf("%s: no header is named", r.Action)
	}
	for _, s := range r.Headers {
		h, removes := parseHeader(s), r.Action != Answer && !strings.Contains(s, ":")
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value):
			return fmt.Errorf("header %q: write its name and value, as in X-Reason: maintenance", s)
		case h.Value == "" && !removes:
			return fmt.Errorf("header %q has no value: write one, as in %s: 1", s, h.Name)
		case IsFraming(h.Name):
			return fmt.Errorf("header %q: where a message ends and where it goes depend on it, so that it cannot be changed", h.Name)
		}
	}
	return nil
}

// HeaderCarrier is the head of a message whose headers a rule can change. Nothing of it has been sent.
type HeaderCarrier interface {
	// ChangeHeaders sets and removes headers. It reports whether any of them was different.
	ChangeHeaders(changes []Header) bool
}

// Edit changes the headers of a message or of its answer. It does not wait for delays, since the head is complete.
func (r *Relay) Edit(x *Exchange, c HeaderCarrier) {
	rule := x.Rule()
	var changes []Header
	var names []string
	for _, s := range rule.Headers {
		h := parseHeader(s)
		changes, names = append(changes, h), append(names, h.Name)
	}
	list := strings.Join(names, ", ")
	if !c.ChangeHeaders(changes) {
		r.Skip(x, "nothing to change: "+list)
		return
	}
	x.Affected = true
	r.Applied(rule, x.Message, "changed header "+list) // values may be secret
}

// BodyCarrier is an answer whose body, which was read, a rule can replace.
type BodyCarrier interface {
	// ReplaceBody replaces the body, and removes the header Content-Encoding. Framing stays valid.
	ReplaceBody(body []byte) error
}

// replace replaces the body of an answer.
func (r *Relay) replace(x *Exchange, c ReplyCarrier) {
	rule := x.Rule()
	if err := c.(BodyCarrier).ReplaceBody([]byte(rule.Body)); err != nil {
		r.Skip(x, err.Error())
		return
	}
	x.Affected = true
	r.Applied(rule, x.Message, "body of "+c.String()+" replaced")
}

// RedirectTarget returns the host and port of the value of a Location header if it is an absolute URL, or "".
func RedirectTarget(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
