package toxiproxy

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
)

// Limits is what clients may do to proxies at most. The zero value sets no limit.
type Limits struct {
	// Admit returns why a fault must not act on a proxy, or nil. others is how many other faults are live. A disabled proxy is
	// an injector.Refuse. Nil admits every fault. It must not call the server.
	Admit func(p Proxy, f injector.Fault, others int) error
	// Keep keeps the proxies that Server.Add made: clients can neither delete nor redirect them, which no limit of time could
	// undo.
	Keep bool
	// Longest is after what time a toxic is removed, and a proxy that a client disabled is enabled again; 0 means never.
	// Server.Inject does not heed it.
	Longest time.Duration
}

// retryPause is how long a proxy that cannot be enabled again stays disabled before that is tried once more.
const retryPause = time.Second

// admit returns why a fault must not act on a proxy, or nil. id is its own, which is not counted.
func (s *Server) admit(p *proxy, f injector.Fault, id string) error {
	if s.cfg.Limits.Admit == nil {
		return nil
	}
	live := map[string]bool{}
	for _, p := range s.proxies {
		if p.outage != nil {
			live[p.outageID()] = true
		}
		for _, t := range p.Toxics {
			if !t.harmless() {
				live[t.id()] = true
			}
		}
	}
	delete(live, id)
	if err := s.cfg.Limits.Admit(p.Proxy, f, len(live)); err != nil {
		return apiError{http.StatusForbidden, err.Error()}
	}
	return nil
}

// id returns what names the fault of a toxic. A fault that was injected by hand into several proxies is one fault.
func (t *toxic) id() string {
	if t.removed != nil {
		whole, _, _ := strings.Cut(t.Name, ".")
		return whole
	}
	return t.proxy.Name + "/toxics/" + t.Name
}

// outageID returns what names the fault that the proxy is disabled.
func (p *proxy) outageID() string { return p.Name + "/enabled" }

// checkKeep returns an error if clients can neither delete nor redirect the proxy.
func (p *proxy) checkKeep() error {
	if !p.server.cfg.Limits.Keep || !p.added {
		return nil
	}
	return apiError{http.StatusForbidden, fmt.Sprintf("the proxy %q is a link of the system file, whose limits forbid to delete or redirect it: disable it, if they allow that", p.Name)}
}

// disable disables the proxy for a client, for as long as the limits allow.
func (p *proxy) disable() error {
	if !p.Enabled {
		return nil
	}
	s := p.server
	if err := s.admit(p, injector.Refuse{}, p.outageID()); err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	p.outage = s.after(p.tryEnable)
	return nil
}

// tryEnable enables the proxy again. If its port is taken, it is called once more after retryPause.
func (p *proxy) tryEnable(outage *deadline) {
	_ = p.enable()
	if p.outage == outage {
		outage.timer.Reset(retryPause)
	}
}

// expire removes the toxic once it has acted for as long as the limits allow.
func (t *toxic) expire() {
	if t.deadline != nil || t.harmless() {
		return
	}
	t.deadline = t.proxy.server.after(func(*deadline) {
		t.proxy.drop(func(o *toxic) bool { return o == t })
		_ = t.remove() // it does not wait for peers
	})
}

// deadline is when a fault ends that has acted for as long as the limits allow.
type deadline struct {
	timer     *time.Timer // nil if the limits allow any time
	cancelled bool        // the fault has ended before
}

// after returns the deadline of a fault that begins now. end is called then, with the lock held. The lock is held.
func (s *Server) after(end func(*deadline)) *deadline {
	d := &deadline{}
	if s.cfg.Limits.Longest > 0 {
		d.timer = time.AfterFunc(s.cfg.Limits.Longest, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !d.cancelled {
				end(d)
			}
		})
	}
	return d
}

// cancel cancels the deadline, even if its time is over and it waits for the lock, which is held. Nil has no effect.
func (d *deadline) cancel() {
	if d == nil {
		return
	}
	d.cancelled = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
