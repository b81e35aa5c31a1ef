package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
)

// openNATS returns the reader of a stream of JetStream.
func openNATS(p effects.Place) (effects.Reader, error) {
	r := natsReader{url: withScheme("nats", p.At), stream: p.Settings["stream"], inJSON: p.Settings["key"] != "", ownID: p.Settings["id"] != "", detailed: p.Settings["value"] != "" || p.Group != "", grouped: p.Group != ""}
	var err error
	r.fields, err = effects.NewFields(p)
	return effects.Reader{Read: effects.Timed(r.read)}, err // a stream may forget old messages
}

// natsReader reads a stream.
type natsReader struct {
	url, stream string
	inJSON      bool // the key is in the data of a message, and not in the header Nats-Msg-Id
	ownID       bool // the id is in the data of a message, and not the sequence number
	detailed    bool // the value or the group is in the data of a message
	grouped     bool
	fields      effects.Fields
}

// read lists the messages of the stream, through a consumer that acknowledges nothing and ends with it.
func (r natsReader) read(ctx context.Context, each each) error {
	conn, err := nats.Connect(r.url, nats.NoReconnect(), nats.Timeout(5*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, r.stream)
	if err != nil {
		return fmt.Errorf("stream %q: %w", r.stream, err)
	}
	info := stream.CachedInfo()
	if info.Config.Retention != jetstream.LimitsPolicy {
		return fmt.Errorf("stream %q keeps messages only until they are consumed (retention %s): it does not list what was applied", r.stream, info.Config.Retention)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	// An ordered consumer would retry forever when its connection is lost.
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute})
	if err != nil {
		return err
	}
	defer r.deleteConsumer(ctx, stream, consumer)
	n := uint64(0)
	for {
		batch, err := consumer.Fetch(pageSize, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			n++
			last, err := r.message(m, n, info.State.LastSeq, each)
			if err != nil || last {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case conn.IsClosed():
			return errors.Join(errors.New("the connection was lost"), conn.LastError())
		}
	}
}

// deleteConsumer removes the consumer of a reading. If that fails, the server removes it when it has been idle for a
// while.
func (r natsReader) deleteConsumer(ctx context.Context, stream jetstream.Stream, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = stream.DeleteConsumer(ctx, c.CachedInfo().Name)
}

// message reads the nth message, and reports whether it is the last of those that were there when the reading began.
func (r natsReader) message(m jetstream.Msg, n, lastSeq uint64, each each) (last bool, err error) {
	meta, err := m.Metadata()
	switch {
	case err != nil:
		return false, err
	case meta.Sequence.Consumer != n:
		return false, fmt.Errorf("message %d was delivered where message %d was due: some were lost on the way", meta.Sequence.Consumer, n)
	}
	seq := meta.Sequence.Stream
	if seq > lastSeq {
		return true, nil
	}
	key, id := m.Headers().Get(jetstream.MsgIDHeader), strconv.FormatUint(seq, 10)
	what := fmt.Sprintf("message %d (%s)", seq, m.Subject())
	if r.inJSON {
		if key, err = r.fields.Key(json.RawMessage(m.Data())); err != nil {
			return false, fmt.Errorf("%s %w", what, err)
		}
	}
	if r.ownID {
		if id, err = r.fields.ID(json.RawMessage(m.Data())); err != nil {
			return false, fmt.Errorf("%s %w", what, err)
		}
	}
	if key == "" {
		return false, fmt.Errorf("%s has no key: without `key`, it is the header %s", what, jetstream.MsgIDHeader)
	}
	e, err := effects.NewEffect(key, id)
	if err == nil && r.detailed {
		err = r.fields.Detail(&e, json.RawMessage(m.Data()))
	}
	if r.grouped && e.Order == "" {
		e.Order = strconv.FormatUint(seq, 10)
	}
	if err == nil {
		err = each(e)
	}
	if err != nil {
		return false, fmt.Errorf("%s %w", what, err)
	}
	return seq >= lastSeq || meta.NumPending == 0, nil // the last ones may have been deleted
}
