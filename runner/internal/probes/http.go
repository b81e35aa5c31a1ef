package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// maxBody is how much of an answer is read.
const maxBody = 4 << 20

// askHTTP asks a path of a service. Each question has a connection of its own, and redirects are not followed.
func askHTTP(p scenarios.Probe, t Target) ask {
	service, method, path, err := system.ParseAsk(p.HTTP)
	return func(ctx context.Context) Answer {
		if err != nil {
			return Answer{Local: err.Error()}
		}
		status, body, a := Fetch(ctx, t, service, method, path, "")
		if status == 0 {
			return a
		}
		a = Answer{Detail: fmt.Sprintf("status %d", status)}
		switch {
		case p.Status == 0 && status/100 != 2, p.Status != 0 && status != p.Status:
			return a
		case p.Contains != "" && !strings.Contains(string(body), p.Contains):
			a.Detail += fmt.Sprintf(", and the body does not contain %q", p.Contains)
			return a
		case p.JSON != "":
			value, err := valueAt(body, p.JSON)
			if err != nil {
				return Answer{Unanswered: err.Error()}
			}
			a.Yes, a.Detail = value == p.Is, fmt.Sprintf("%s, and %s is %s", a.Detail, p.JSON, shorten(value))
			return a
		}
		a.Yes = true
		return a
	}
}

// Fetch sends a request to a service and returns its answer. status is 0 if there is none, and why says why.
func Fetch(ctx context.Context, t Target, service, method, path, body string) (status int, answer []byte, why Answer) {
	address := t.Address(service)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialService(ctx, address) }
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dial}
	url := t.Trust.URL(address, path)
	if config := t.Trust[address]; config != nil {
		transport.DialTLSContext = t.Trust.Dial
	} else if strings.HasPrefix(address, "unix:") {
		url = "http://localhost" + path
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, Answer{Local: err.Error()}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, failure(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		why := failure(err)
		why.Status = resp.StatusCode
		return 0, nil, why
	case len(raw) > maxBody:
		return 0, nil, Answer{Unanswered: fmt.Sprintf("status %d, with a body of more than %d MiB", resp.StatusCode, maxBody>>20), Status: resp.StatusCode}
	}
	return resp.StatusCode, raw, Answer{}
}

// dialService connects to host:port or unix:/path.
func dialService(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// failure describes why a question got no answer. Errors of this machine or process are told from those of the service.
func failure(err error) Answer {
	if why := load.LocalError(err); why != "" {
		return Answer{Local: why}
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return Answer{Local: err.Error()}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return Answer{Unanswered: strings.TrimPrefix(op.Err.Error(), "connect: ")}
	}
	return Answer{Unanswered: err.Error()}
}

// shorten returns the beginning of a text, for details.
func shorten(text string) string {
	const most = 200
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
