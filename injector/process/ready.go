package process

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// String tells what is waited for.
func (r Ready) String() string {
	switch {
	case r.TCP != "":
		return r.TCP + " accepts"
	case r.HTTP != "":
		return r.HTTP + " answers 2xx"
	case r.Line != nil:
		return fmt.Sprintf("its log says %q", r.Line)
	}
	return "it runs"
}

// ready waits until the service is ready, has ended, or its time is up.
func (s *Service) ready(ctx context.Context, r *running) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.spec.Ready.Within, fmt.Errorf("not ready within %v (%s)", s.spec.Ready.Within, s.spec.Ready))
	defer cancel()
	for {
		if s.spec.Ready.met(ctx, s.spec.Log, r.from) {
			select {
			case <-r.gone:
			default:
				return nil
			}
		}
		select {
		case <-r.gone:
			return fmt.Errorf("it ended before it was ready: %s", r.status)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r Ready) met(ctx context.Context, log string, from int64) bool {
	switch {
	case r.TCP != "":
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.TCP)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	case r.HTTP != "":
		return answers(ctx, r.HTTP)
	case r.Line != nil:
		raw, err := os.ReadFile(log)
		if err != nil || int64(len(raw)) < from {
			return false
		}
		for line := range bytes.Lines(raw[from:]) {
			if r.Line.Match(bytes.TrimRight(line, "\r\n")) {
				return true
			}
		}
		return false
	}
	return true
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode/100 == 2
}
