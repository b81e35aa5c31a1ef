package effects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Reader reads the effects that one source lists.
type Reader struct {
	// Read calls each for every effect, in the order of the source, and returns its error, if any, with the position
	// of the effect. An error that wraps ErrNone means that there is nothing to list yet.
	Read func(ctx context.Context, each func(journal.Effect) error) error
	// Whole is set if the source cannot list only a part of the effects, such as a page.
	Whole bool
	// Answer returns a single value that the source has; see Until. It is nil if it has none.
	Answer func(context.Context) (string, error)
}

// ErrNone is returned for a source that does not exist yet. Some services create a file, or write null, as long as
// there is nothing to list. After the load, it is an error like others.
var ErrNone = errors.New("there is nothing to list")

// Kind is a row of the table of sources.
type Kind struct {
	Name string // as in package system
	// Open returns the reader of a source. It does not connect: each reading has connections of its own, which end with
	// it, so that none is broken by a fault, and none delays the end of a service.
	Open func(Place) (Reader, error)
}

// Place is a declared source whose placeholders are replaced.
type Place struct {
	system.EffectSource
	Trust load.Trust
	URL   string // of the kind http
	Group string // the field that effects are grouped by; "" if they are not
}

// Kinds returns the sources that need no client library: what comes with the standard library, and with the drivers of
// database/sql that a program links. Those of package runner/sources are added to them.
func Kinds() []Kind {
	return []Kind{
		{"sql", openSQL},
		{"file", openFile},
		{"http", openHTTP},
	}
}

// Open returns the reader of a source. secrets are texts that its errors must not contain.
func Open(kinds []Kind, p Place, secrets []string) (Reader, error) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == p.Kind })
	if i < 0 {
		return Reader{}, fmt.Errorf("the kind %s needs a client library, which is not linked: "+
			`add Sources: sources.Kinds() to runner.Options, and import "github.com/firedrill-dev/firedrill/runner/sources"`, p.Kind)
	}
	private := journal.Hide(secrets...)
	r, err := kinds[i].Open(p)
	if err != nil {
		return Reader{}, hide(err, private)
	}
	read, answer := r.Read, r.Answer
	r.Read = func(ctx context.Context, each func(journal.Effect) error) error {
		return hide(read(ctx, each), private)
	}
	if answer != nil {
		r.Answer = func(ctx context.Context) (string, error) {
			text, err := answer(ctx)
			return text, hide(err, private)
		}
	}
	return r, nil
}

// hide returns an error whose text does not contain the secrets. It wraps err.
func hide(err error, secrets journal.Hidden) error {
	if err == nil {
		return nil
	}
	return hidden{err, secrets.Redact(err.Error())}
}

type hidden struct {
	error
	text string
}

func (h hidden) Error() string { return h.text }
func (h hidden) Unwrap() error { return h.error }

// Timed limits how long a reading takes in all, and from one effect to the next.
func Timed(read func(ctx context.Context, each func(journal.Effect) error) error) func(context.Context, func(journal.Effect) error) error {
	return func(ctx context.Context, each func(journal.Effect) error) error {
		ctx, cancel := context.WithTimeoutCause(ctx, maxListTime, fmt.Errorf("it was not complete within %s", maxListTime))
		defer cancel()
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		stall := time.AfterFunc(listStall, func() { stop(fmt.Errorf("no effect was received for %s", listStall)) })
		defer stall.Stop()
		err := read(ctx, func(e journal.Effect) error {
			stall.Reset(listStall)
			return each(e)
		})
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // the client's error says only that it was canceled
		}
		return err
	}
}

// NewEffect returns the effect that an item of a source describes. The text of an error completes a sentence that
// begins with the position of the item: "row 3 has no key".
func NewEffect(key, id string) (journal.Effect, error) {
	switch {
	case key == "":
		return journal.Effect{}, errors.New(`has no "key": each effect needs one, the idempotency key of its request`)
	case len(key) > maxNameBytes || len(id) > maxNameBytes:
		return journal.Effect{}, fmt.Errorf("has a \"key\" or an \"id\" longer than %d bytes", maxNameBytes)
	case id == key: // the ID would make two effects of one request look the same
		id = ""
	}
	return journal.Effect{Key: key, ID: id}, nil
}
