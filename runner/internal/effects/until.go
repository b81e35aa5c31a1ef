package effects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// Condition is a condition that shows that all effects have arrived.
type Condition struct {
	Answer func(context.Context) (string, error)
	Holds  func(answer string) bool
	Limit  time.Duration // how long one answer may take; 0 means 5 s

	last string
	err  error // why the last answer is not known
}

// Once asks once, and reports whether the condition holds.
func (c *Condition) Once(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Limit, 5*time.Second))
	defer cancel()
	c.last, c.err = c.Answer(ctx)
	return c.err == nil && c.Holds(c.last)
}

// Missing returns what was answered last.
func (c *Condition) Missing() string {
	if c.err != nil {
		return "the last answer is not known: " + c.err.Error()
	}
	text := c.last
	if len(text) > excerptLength {
		text = text[:excerptLength] + "..."
	}
	return "the last answer was " + strconv.Quote(text)
}

// maxAnswer limits how much of an answer is read.
const maxAnswer = 1 << 20

// Body returns a function that returns the body of the answer to a request.
func Body(t load.Trust, method, url string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err != nil {
			return "", err
		}
		client := http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true, DialTLSContext: t.Dial},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		switch text := strings.TrimSpace(string(raw)); {
		case err != nil:
			return "", err
		case resp.StatusCode/100 != 2:
			return "", fmt.Errorf("status %d: %.60q", resp.StatusCode, text)
		case len(raw) == maxAnswer:
			return "", errors.New("it is longer than 1 MiB")
		default:
			return text, nil
		}
	}
}
