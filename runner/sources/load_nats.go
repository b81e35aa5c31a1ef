package sources

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// natsDialer dials the connection of a session.
type natsDialer struct {
	ctx context.Context
	load.Place
	failed error // why the dial failed, which the client library does not return as it is
}

// Dial implements nats.CustomDialer.
func (d *natsDialer) Dial(network, _ string) (net.Conn, error) {
	conn, err := d.Place.Dial(d.ctx, network)
	d.failed = err
	return conn, err
}

// openNATSConn logs in as the login of the service says.
func openNATSConn(ctx context.Context, p load.Place) (*nats.Conn, error) {
	d := &natsDialer{ctx: ctx, Place: p}
	options := []nats.Option{nats.NoReconnect(), nats.SetCustomDialer(d), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if password, ok := p.URL.User.Password(); ok {
		options = append(options, nats.UserInfo(p.URL.User.Username(), password))
	} else if token := p.URL.User.Username(); token != "" {
		options = append(options, nats.Token(token))
	}
	if p.TLS != nil {
		options = append(options, nats.Secure(p.TLS))
	}
	conn, err := nats.Connect("nats://"+p.Address, options...)
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return nil, load.OwnError("the login was refused", "check the login of the service in the system file", errors.New("login failed"))
	case err != nil:
		return nil, cmp.Or(d.failed, err)
	}
	return conn, nil
}

func openNATSMessages(ctx context.Context, p load.Place) (load.Session, error) {
	conn, err := openNATSConn(ctx, p)
	return natsMessages{natsConn{conn}}, err
}

func openNATSRequests(ctx context.Context, p load.Place) (load.Session, error) {
	conn, err := openNATSConn(ctx, p)
	return natsRequests{natsConn{conn}}, err
}

type natsConn struct{ *nats.Conn }

// Close implements load.Session.
func (c natsConn) Close() error {
	c.Conn.Close()
	return nil
}

// message returns the message of a request.
func message(r load.Request) *nats.Msg {
	m := nats.NewMsg(r.About)
	m.Data = []byte(r.Text)
	for _, h := range r.Headers {
		m.Header.Set(h.Name, h.Value)
	}
	return m
}

// natsMessages publishes messages.
type natsMessages struct{ natsConn }

// Send implements load.Session. The server answers a PING after it has read the message.
func (s natsMessages) Send(ctx context.Context, r load.Request) (load.Reply, error) {
	if err := s.PublishMsg(message(r)); err != nil {
		return load.Reply{}, own(err)
	}
	if err := s.FlushWithContext(ctx); err != nil {
		return load.Reply{}, err
	}
	if err := s.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return load.Reply{Outcome: load.Refused, Word: "permissions", Last: true}, nil
	}
	return load.Reply{Outcome: load.Acknowledged}, nil
}

// own marks errors of the client library about a message that it does not send.
func own(err error) error {
	for _, e := range []error{nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported, nats.ErrBadHeaderMsg} {
		if errors.Is(err, e) {
			return load.OwnError(e.Error(), "change the messages of the load", err)
		}
	}
	return err
}

// natsRequests makes requests.
type natsRequests struct{ natsConn }

// Send implements load.Session.
func (s natsRequests) Send(ctx context.Context, r load.Request) (load.Reply, error) {
	answer, err := s.RequestMsgWithContext(ctx, message(r))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return load.Reply{Outcome: load.Refused, Word: "no-responders", Transient: true}, nil
	case err != nil:
		return load.Reply{}, own(err)
	}
	reply := load.Reply{Outcome: load.Acknowledged, Text: answer.Data}
	var stream struct {
		Error *struct {
			Code    int `json:"code"`
			ErrCode int `json:"err_code"`
		} `json:"error"`
	}
	if code := answer.Header.Get("Nats-Service-Error-Code"); code != "" {
		reply.Outcome, reply.Word = load.Ambiguous, code
	} else if json.Unmarshal(answer.Data, &stream) == nil && stream.Error != nil && stream.Error.ErrCode > 0 {
		reply.Outcome, reply.Word, reply.Transient = load.Refused, strconv.Itoa(stream.Error.ErrCode), stream.Error.Code == 503
	}
	return reply, nil
}
