package journal

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Writer writes events as lines of JSON, each in a single call of Write. It is safe for concurrent use.
type Writer struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
	seq   uint64
	err   error

	redact redactor
}

// NewWriter returns a writer whose clock starts at began. It does not close w.
func NewWriter(w io.Writer, began time.Time) *Writer { return &Writer{w: w, began: began} }

// Now returns the time since the run began, on the monotonic clock.
func (w *Writer) Now() time.Duration { return time.Since(w.began) }

// Since converts a time to the clock of the run.
func (w *Writer) Since(t time.Time) time.Duration { return t.Sub(w.began) }

// Write sets Seq, and At if it is zero, and writes the event with its secrets redacted (see RedactText). The
// returned event is not redacted: checks compare its names with those of the experiment. After the first error of
// the underlying writer, nothing more is written, and Err returns that error.
func (w *Writer) Write(e Event) Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	e.Seq = w.seq
	if n := e.rowCount(); n > 1 {
		w.seq += uint64(n - 1) //nolint:gosec // positive
	}
	if e.At == 0 {
		e.At = w.Now()
	}
	if w.err != nil {
		return e
	}
	line, err := encode(w.redact.rows(e))
	if err == nil {
		_, err = w.w.Write(w.redact.document(line))
	}
	if err != nil {
		w.err = fmt.Errorf("write the journal: %w", err)
	}
	return e
}

// rowCount returns the number of rows of the event, or 0.
func (e Event) rowCount() int {
	switch {
	case e.RequestRows != nil:
		return e.RequestRows.Len()
	case e.EffectRows != nil:
		return e.EffectRows.Len()
	}
	return 0
}

// Err returns the first write error.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
