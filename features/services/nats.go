package services

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// streams are the JetStream streams. late forgets message IDs before the publisher sends them again. work is consumed by
// the worker.
var streams = []jetstream.StreamConfig{
	{Name: "orders", Subjects: []string{"orders"}, Storage: jetstream.MemoryStorage},
	{Name: "late", Subjects: []string{"late"}, Storage: jetstream.MemoryStorage, Duplicates: 200 * time.Millisecond},
	{Name: "work", Subjects: []string{"work"}, Storage: jetstream.MemoryStorage},
}

// connectNATS connects to NATS and reconnects after every failure.
func connectNATS(addr string) (*nats.Conn, error) {
	return nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0))
}

// publications are the publisher's paths.
var publications = []struct {
	path, subject string
	id            bool          // the message has an ID, by which the server recognizes duplicates
	backoff       time.Duration // before an unacknowledged message is published again
}{
	{"/plain", "orders", false, 0},
	{"/with-id", "orders", true, 0},
	{"/late", "late", true, 400 * time.Millisecond},
}

// newPublisher returns a service that publishes to JetStream, over the link, until the message is acknowledged. It also
// publishes directly to the subject and the stream that the worker consumes.
func newPublisher(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	link, err := connectNATS(c.link)
	if err != nil {
		return s, err
	}
	direct, err := connectNATS(c.direct)
	if err != nil {
		link.Close()
		return s, err
	}
	s.close = func() { link.Close(); direct.Close() }
	js, err := jetstream.New(link)
	if err != nil {
		return s, err
	}
	directJS, err := jetstream.New(direct)
	if err != nil {
		return s, err
	}
	for _, config := range streams {
		if _, err := directJS.CreateOrUpdateStream(ctx, config); err != nil {
			return s, err
		}
	}
	for _, p := range publications {
		s.handle("POST "+p.path, func(ctx context.Context, key string) error { return publish(ctx, js, p.subject, key, p.id, p.backoff) })
	}
	s.handle("POST /subject", func(ctx context.Context, key string) error {
		return errors.Join(direct.Publish("subject", []byte(key)), direct.FlushWithContext(ctx))
	})
	s.handle("POST /work", func(ctx context.Context, key string) error {
		_, err := directJS.Publish(ctx, "work", []byte(key))
		return err
	})
	s.effects("GET /stored", func(ctx context.Context) ([]effect, error) {
		var all []effect
		for _, config := range streams[:2] {
			more, err := storedEffects(ctx, directJS, config.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	})
	return s, nil
}

// publish publishes a message again whenever it was not acknowledged within 400 ms.
func publish(ctx context.Context, js jetstream.JetStream, subject, key string, id bool, backoff time.Duration) error {
	m := &nats.Msg{Subject: subject, Data: []byte(key), Header: nats.Header{}}
	if id {
		m.Header.Set(jetstream.MsgIDHeader, key)
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		_, err := js.PublishMsg(attempt, m)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return err
		}
	}
}

// storedEffects returns the messages in a stream as effects.
func storedEffects(ctx context.Context, js jetstream.JetStream, name string) ([]effect, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []effect
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			return nil, err
		}
		all = append(all, effect{string(m.Data), strconv.FormatUint(seq, 10)})
	}
	return all, nil
}

// newWorker returns a service that records an effect for each message that it receives over the link, from a subject and
// from a stream, redelivered ones included.
func newWorker(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	nc, err := connectNATS(c.link)
	if err != nil {
		return s, err
	}
	s.close = nc.Close
	var mu sync.Mutex
	var all []effect
	record := func(key, id string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, effect{key, id})
	}
	if _, err := nc.Subscribe("subject", func(m *nats.Msg) { record(string(m.Data), "") }); err != nil {
		return s, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return s, err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "work", jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
	if err != nil {
		return s, err
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		if meta, err := m.Metadata(); err == nil {
			record(string(m.Data()), "delivery "+strconv.FormatUint(meta.NumDelivered, 10))
		}
		_ = m.Ack() // a lost acknowledgement is not reported
	})
	if err != nil {
		return s, err
	}
	s.close = func() { consuming.Stop(); nc.Close() }
	s.effects("GET /handled", func(context.Context) ([]effect, error) {
		mu.Lock()
		defer mu.Unlock()
		return append([]effect(nil), all...), nil
	})
	return s, nil
}
