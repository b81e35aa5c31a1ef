package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Writer writes events as lines of JSON, each in one Write call. Its methods may be called from many goroutines.
type Writer struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
	seq   uint64
	err   error
}

// NewWriter returns a writer whose clock starts at began. It closes nothing.
func NewWriter(w io.Writer, began time.Time) *Writer { return &Writer{w: w, began: began} }

// Now is the time since the run began, on the monotonic clock.
func (w *Writer) Now() time.Duration { return time.Since(w.began) }

// Since places a moment on the run's clock.
func (w *Writer) Since(t time.Time) time.Duration { return t.Sub(w.began) }

// Write sets Seq, and At where it is zero, writes the event, and returns it as written. The first error of the underlying writer sticks: nothing
// is written after it, and Err tells it. A journal that could not be written makes the run worthless.
func (w *Writer) Write(e Event) Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	e.Seq = w.seq
	if e.At == 0 {
		e.At = w.Now()
	}
	if w.err != nil {
		return e
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line) // it ends the line
	enc.SetEscapeHTML(false)      // "orders -> payments" is there to be found
	err := enc.Encode(e)
	if err == nil {
		_, err = w.w.Write(line.Bytes())
	}
	if err != nil {
		w.err = fmt.Errorf("write the journal: %w", err)
	}
	return e
}

// Err is the first error of writing.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
