package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody is how much of an answer counts towards its digest, and the length of the longest answer in which values
// are found.
const maxBody = 1 << 20

// maxShown is the length of the longest body that is kept to show differences. Longer bodies are not
// kept, not even in part, since a truncated secret would not be redacted.
const maxShown = 1 << 10

// readAnswer reads an answer to its end. It keeps the whole body if values are to be found in it.
func (c *Client) readAnswer(resp *http.Response, find bool) (Answer, error) {
	defer resp.Body.Close()
	mark := c.Load.Marker
	find = find || mark != nil && mark.InBody
	limit := int64(maxShown)
	if find {
		limit = maxBody
	}
	h := sha256.New()
	var begin bytes.Buffer
	_, err := io.CopyN(io.MultiWriter(h, &begin), resp.Body, limit+1)
	if err == nil { // not at the end, for which copying would take a buffer of 32 KiB
		if _, err = io.Copy(h, io.LimitReader(resp.Body, maxBody-limit-1)); err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Digest: hex.EncodeToString(h.Sum(nil)[:8])}
	if begin.Len() <= maxShown {
		a.Body = begin.String()
	}
	if find {
		if begin.Len() > maxBody {
			return a, generatorError{"an answer is longer than 1 MiB", "values and marks are found in shorter answers only", errLongAnswer}
		}
		a.full = begin.Bytes()
	}
	switch {
	case mark == nil:
	case mark.InBody:
		a.fallback = mark.MatchesBody(a.full)
	default:
		a.fallback = strings.EqualFold(resp.Header.Get(mark.Name), mark.Value)
	}
	after := resp.Header.Get("Retry-After")
	if s, err := strconv.Atoi(after); err == nil && s >= 0 {
		a.RetryAfter, a.HasRetryAfter = time.Duration(s)*time.Second, true
	} else if _, err := http.ParseTime(after); err == nil {
		a.HasRetryAfter = true
	}
	if a.RetryAfter > 0 {
		c.retryAfter.Store(true)
	}
	return a, nil
}

var errLongAnswer = errors.New("the answer was not searched")
