package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const queueBound = "queue bound"

var labelsProtections = []Protection{
	{queueBound, "labels", "at most 16 labels wait to be printed, and more are refused at once; without, any number waits"},
}

// labels prints the labels of parcels: POST /labels is answered when the label is printed. Labels wait in a queue until one
// of a few workers sends them to the printer.
type labels struct {
	*part
	printer          *dependency
	queue            chan label
	printed, refused prometheus.Counter
}

// label waits to be printed.
type label struct {
	text    string
	printed chan error // has room for the result, so that a worker never waits for a client that has left
}

const (
	labelWorkers = 4
	labelQueue   = 16
	printLimit   = 2 * time.Second
)

func newLabels(c config) (*part, error) {
	if c.links["printer"] == "" {
		return nil, errors.New("--printer is missing")
	}
	l := &labels{part: newPart(), queue: make(chan label, labelQueue)}
	if !c.protected[queueBound] {
		l.queue = make(chan label, 100_000) // more than will ever wait
	}
	l.printer = l.addDependency("printer", c.links["printer"], make(pool, labelWorkers), printLimit, c.protected)
	l.required = []*dependency{l.printer}
	l.printed = l.counter("labels_printed_total", "labels printed")
	l.refused = l.counter("labels_refused_total", "labels refused because the queue was full")
	l.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "labels_waiting", Help: "labels in the queue"},
		func() float64 { return float64(len(l.queue)) }))
	l.routes.HandleFunc("POST /labels", l.post)

	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for range labelWorkers {
		workers.Go(func() { l.work(ctx) })
	}
	l.stop = func() error { stop(); workers.Wait(); return nil }
	return l.part, nil
}

func (l *labels) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		http.Error(w, "the body is incomplete or too long", http.StatusBadRequest)
		return
	}
	mine := label{string(body), make(chan error, 1)}
	select {
	case l.queue <- mine:
	default: // a refusal now is better than an answer after the client has left
		l.refused.Inc()
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many labels are waiting", http.StatusServiceUnavailable)
		return
	}
	select {
	case err := <-mine.printed:
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, "printed")
	case <-r.Context().Done():
	}
}

// work prints labels, one after the other.
func (l *labels) work(ctx context.Context) {
	for {
		select {
		case next := <-l.queue:
			got, err := l.printer.call(ctx, http.MethodPost, "/print", nil, next.text)
			switch {
			case err == nil && got.status != http.StatusOK:
				err = fmt.Errorf("printer: status %d", got.status)
			case err == nil:
				l.printed.Inc()
			}
			next.printed <- err
		case <-ctx.Done():
			return
		}
	}
}
