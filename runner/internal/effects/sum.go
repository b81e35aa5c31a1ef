package effects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// Limits of a list whose values are added.
const (
	maxSumBytes = 64 << 20
	maxSumTime  = 30 * time.Second
)

// Total is the sum of a field over a list.
type Total struct {
	Sum   *big.Rat
	Items int
	print uint64 // equal if the list holds the same values, in any order
}

// String returns the sum as a decimal number, exactly.
func (t Total) String() string {
	digits, _ := t.Sum.FloatPrec()
	return t.Sum.FloatString(digits)
}

// SameValues reports whether two lists held the same values.
func (t Total) SameValues(other Total) bool { return t.print == other.print && t.Items == other.Items }

// ReadTotal adds a field of all objects of a list. The list is the whole body, or the only array in an object.
func ReadTotal(ctx context.Context, t load.Trust, method, url, field string) (Total, error) {
	ctx, cancel := context.WithTimeout(ctx, maxSumTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return Total{}, err
	}
	req.Header.Set("Accept", "application/json")
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialTLSContext: t.Dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return Total{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return Total{}, fmt.Errorf("status %d: the status must be 200", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSumBytes+1))
	if err != nil {
		return Total{}, err
	}
	if len(body) > maxSumBytes {
		return Total{}, fmt.Errorf("the list is longer than %d bytes", maxSumBytes)
	}
	l := listing{total: -1}
	items, err := l.soleArray(body)
	if err != nil {
		return Total{}, err
	}
	l.items = len(items)
	l.noteHeaders(resp.StatusCode, resp.Header)
	if err := l.checkComplete(); err != nil {
		return Total{}, err
	}
	return add(items, field)
}

// soleArray returns the items of the list in a body.
func (l *listing) soleArray(body []byte) ([]map[string]json.RawMessage, error) {
	var items []map[string]json.RawMessage
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '{' {
		var outer map[string]json.RawMessage
		if err := json.Unmarshal(body, &outer); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		body = nil
		for name, raw := range outer {
			switch {
			case raw[0] != '[':
				l.notePaging(name, raw, true)
			case body != nil:
				return nil, errors.New("it is an object with several arrays: it must be an array of objects, or an object with one")
			default:
				body = raw
			}
		}
	}
	if len(body) == 0 || body[0] != '[' {
		return nil, errors.New("it has no list: it must be a JSON array of objects, or an object with one array")
	}
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, fmt.Errorf("it is not a JSON array of objects: %w", err)
	}
	return items, nil
}

// decimal matches the numbers that are added. The exponent is bounded, since exact numbers grow with it.
var decimal = regexp.MustCompile(`^-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?$`)

// add adds a field of all items.
func add(items []map[string]json.RawMessage, field string) (Total, error) {
	t := Total{Sum: new(big.Rat), Items: len(items)}
	for i, item := range items {
		text, ok := plainText(item[field])
		if !ok || !decimal.MatchString(text) {
			return Total{}, fmt.Errorf("item %d has a %q that is not a decimal number: each needs one, such as 12.50 or \"12.50\"", i+1, field)
		}
		n, _ := new(big.Rat).SetString(text)
		t.Sum.Add(t.Sum, n)
		h := fnv.New64a()
		_, _ = h.Write([]byte(n.String()))
		t.print += h.Sum64()
	}
	return t, nil
}
