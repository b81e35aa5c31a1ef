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

// Streams: orders is asked twice at most, over the link; late forgets message ids before they come again; work is what the worker consumes.
var streams = []jetstream.StreamConfig{
	{Name: "orders", Subjects: []string{"orders"}, Storage: jetstream.MemoryStorage},
	{Name: "late", Subjects: []string{"late"}, Storage: jetstream.MemoryStorage, Duplicates: 200 * time.Millisecond},
	{Name: "work", Subjects: []string{"work"}, Storage: jetstream.MemoryStorage},
}

// connectNATS comes back whenever the connection breaks.
func connectNATS(addr string) (*nats.Conn, error) {
	return nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0))
}

// publications, by path: where to, whether the message has an id by which the server knows it again, and when a publisher that heard nothing publishes again.
var publications = []struct {
	path, subject string
	id            bool
	again         time.Duration
}{
	{"/plain", "orders", false, 0},
	{"/with-id", "orders", true, 0},
	{"/late", "late", true, 400 * time.Millisecond},
}

// newPublisher publishes to JetStream until it hears that it was stored, over the link; and past it to a subject and a stream that the worker listens to.
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
	s.end = func() { link.Close(); direct.Close() }
	js, err := jetstream.New(link)
	if err != nil {
		return s, err
	}
	past, err := jetstream.New(direct)
	if err != nil {
		return s, err
	}
	for _, config := range streams {
		if _, err := past.CreateOrUpdateStream(ctx, config); err != nil {
			return s, err
		}
	}
	for _, p := range publications {
		s.handle("POST "+p.path, func(ctx context.Context, key string) error { return publish(ctx, js, p.subject, key, p.id, p.again) })
	}
	s.handle("POST /subject", func(ctx context.Context, key string) error {
		return errors.Join(direct.Publish("subject", []byte(key)), direct.FlushWithContext(ctx))
	})
	s.handle("POST /work", func(ctx context.Context, key string) error {
		_, err := past.Publish(ctx, "work", []byte(key))
		return err
	})
	s.effects("GET /stored", func(ctx context.Context) ([]effect, error) {
		var all []effect
		for _, config := range streams[:2] {
			some, err := stored(ctx, past, config.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	})
	return s, nil
}

// publish publishes again whenever nothing was heard for 400 ms.
func publish(ctx context.Context, js jetstream.JetStream, subject, key string, id bool, again time.Duration) error {
	m := &nats.Msg{Subject: subject, Data: []byte(key), Header: nats.Header{}}
	if id {
		m.Header.Set(jetstream.MsgIDHeader, key)
	}
	for {
		try, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		_, err := js.PublishMsg(try, m)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}

func stored(ctx context.Context, js jetstream.JetStream, name string) ([]effect, error) {
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

// newWorker writes down what it gets over the link, from a subject and from a stream; what it was given again, it does again.
func newWorker(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	nc, err := connectNATS(c.link)
	if err != nil {
		return s, err
	}
	s.end = nc.Close
	var mu sync.Mutex
	var all []effect
	done := func(key, id string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, effect{key, id})
	}
	if _, err := nc.Subscribe("subject", func(m *nats.Msg) { done(string(m.Data), "") }); err != nil {
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
			done(string(m.Data()), "delivery "+strconv.FormatUint(meta.NumDelivered, 10))
		}
		_ = m.Ack() // not told when it is lost
	})
	if err != nil {
		return s, err
	}
	s.end = func() { consuming.Stop(); nc.Close() }
	s.effects("GET /handled", func(context.Context) ([]effect, error) {
		mu.Lock()
		defer mu.Unlock()
		return append([]effect(nil), all...), nil
	})
	return s, nil
}
