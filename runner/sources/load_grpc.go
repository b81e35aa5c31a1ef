package sources

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// grpcSession makes unary calls, as https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md describes them, over one
// connection of net/http. It is no grpc.ClientConn, since that sends a call again by itself if the server has refused its
// stream, even with retries disabled, and the load has to know what was written.
type grpcSession struct {
	conn    *http.ClientConn
	base    url.URL
	methods map[string]protoreflect.MethodDescriptor
}

// openGRPC connects, and determines the types of the messages of all methods that the load calls.
func openGRPC(types *grpcTypes) func(ctx context.Context, p load.Place) (load.Session, error) {
	return func(ctx context.Context, p load.Place) (load.Session, error) {
		protocols := &http.Protocols{}
		protocols.SetHTTP2(p.TLS != nil)
		protocols.SetUnencryptedHTTP2(p.TLS == nil)
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return p.DialTLS(ctx) }
		t := &http.Transport{Protocols: protocols, DisableCompression: true, DialContext: dial, DialTLSContext: dial}
		s := &grpcSession{base: url.URL{Scheme: "http", Host: p.Address}}
		if p.TLS != nil {
			s.base.Scheme = "https"
			p.TLS.NextProtos = []string{"h2"}
		}
		var err error
		if s.conn, err = t.NewClientConn(ctx, s.base.Scheme, p.Address); err != nil {
			return nil, err
		}
		if s.methods, err = types.of(ctx, p, s); err != nil {
			_ = s.Close()
			return nil, err
		}
		return s, nil
	}
}

// Close implements load.Session.
func (s *grpcSession) Close() error { return s.conn.Close() }

// Send implements load.Session.
func (s *grpcSession) Send(ctx context.Context, r load.Request) (load.Reply, error) {
	method := s.methods[r.About]
	body := r.Text
	if body == "" {
		body = "{}"
	}
	in := dynamicpb.NewMessage(method.Input())
	err := protojson.UnmarshalOptions{}.Unmarshal([]byte(body), in)
	var message []byte
	if err == nil {
		message, err = proto.Marshal(in)
	}
	if err != nil {
		return load.Reply{}, load.OwnError(fmt.Sprintf("a message is no %s in JSON", method.Input().FullName()), "mend the doc string", err)
	}
	header := http.Header{"Traceparent": {r.Trace}}
	for _, h := range r.Headers {
		header.Add(h.Name, h.Value)
	}
	status, answer, err := s.call(ctx, r.About, header, message)
	if err != nil {
		return load.Reply{}, err
	}
	reply := load.Reply{Outcome: grpcOutcomes[status.code], Word: grpcNames[status.code], Text: []byte(grpcNames[status.code] + " " + status.message), Transient: status.code == grpcExhausted || status.unsent, Last: s.conn.Available() == 0}
	switch {
	case status.unsent:
		reply.Outcome = load.Refused
	case status.code == 0:
		out := dynamicpb.NewMessage(method.Output())
		if err := proto.Unmarshal(answer, out); err != nil {
			return load.Reply{}, load.Malformed("the answer is no %s: %w", method.Output().FullName(), err)
		}
		text, err := protojson.Marshal(out)
		if err != nil {
			return load.Reply{}, load.Malformed("the answer has no form in JSON: %w", err)
		}
		var compact bytes.Buffer // protojson adds spaces that differ between builds
		if json.Compact(&compact, text) == nil {
			reply.Text = compact.Bytes()
		}
	}
	return reply, nil
}

// grpcStatus is how a call ended.
type grpcStatus struct {
	code    int
	message string
	unsent  bool // the server did not begin to work on the call
}

// maxGRPC is the size of the largest answer.
const maxGRPC = 64 << 20

// call makes a call with one message, and returns the first message of the answer. An error means that the server did not
// say how the call ended.
func (s *grpcSession) call(ctx context.Context, method string, header http.Header, message []byte) (status grpcStatus, answer []byte, err error) {
	to := s.base
	to.Path = "/" + method
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) //nolint:gosec // a doc string
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(append(frame, message...)))
	if err != nil {
		return status, nil, load.OwnError("the call cannot be made", "check its method", err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set("Grpc-Timeout", grpcTimeout(time.Until(deadline)))
	}
	resp, err := s.conn.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
		if answer, err = io.ReadAll(io.LimitReader(resp.Body, maxGRPC)); err == nil {
			return grpcAnswer(resp, answer)
		}
	}
	var reset http2.StreamError
	if ctx.Err() == nil && errors.As(err, &reset) {
		code, ok := grpcResets[reset.Code]
		if !ok {
			code = grpcInternal
		}
		return grpcStatus{code: code, message: "the stream was reset: " + reset.Code.String(), unsent: reset.Code == http2.ErrCodeRefusedStream}, nil, nil
	}
	return status, nil, err
}

// grpcAnswer returns the status of an answer, and its message.
func grpcAnswer(resp *http.Response, body []byte) (status grpcStatus, message []byte, err error) {
	end := resp.Trailer
	if resp.Header.Get("Grpc-Status") != "" {
		end = resp.Header // without a body
	}
	text := end.Get("Grpc-Status")
	if text == "" && resp.StatusCode != http.StatusOK {
		code, ok := grpcStatuses[resp.StatusCode]
		if !ok {
			code = grpcUnknown
		}
		return grpcStatus{code: code, message: "status " + strconv.Itoa(resp.StatusCode)}, nil, nil
	}
	if status.code, err = strconv.Atoi(text); err != nil || status.code < 0 || status.code >= len(grpcNames) {
		return status, nil, load.Malformed("the status %q of gRPC", text)
	}
	if status.message, err = url.PathUnescape(end.Get("Grpc-Message")); err != nil {
		status.message = end.Get("Grpc-Message")
	}
	if status.code != 0 {
		return status, nil, nil
	}
	const prefix = 5
	if len(body) < prefix || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) > len(body)-prefix {
		return status, nil, load.Malformed("%d bytes that are not a gRPC message", len(body))
	}
	return status, body[prefix : prefix+int(binary.BigEndian.Uint32(body[1:]))], nil
}

// grpcTimeout returns a time-out in the form of the header, which has at most eight digits.
func grpcTimeout(d time.Duration) string {
	if d = max(d, time.Microsecond); d < 10*time.Second {
		return strconv.FormatInt(d.Microseconds(), 10) + "u"
	}
	return strconv.FormatInt(min(d.Milliseconds(), 99_999_999), 10) + "m"
}

// The codes that are named here (https://grpc.io/docs/guides/status-codes/).
const (
	grpcUnknown       = 2
	grpcExhausted     = 8
	grpcUnimplemented = 12
	grpcInternal      = 13
	grpcUnavailable   = 14
)

var (
	grpcNames = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

	// grpcOutcomes says what is known after a code; the others leave it unknown, ALREADY_EXISTS as status 409 does.
	grpcOutcomes = map[int]load.Outcome{0: load.Acknowledged, 3: load.Refused, 5: load.Refused, 7: load.Refused, 8: load.Refused, 9: load.Refused, 11: load.Refused, 12: load.Refused, 16: load.Refused}

	// grpcResets and grpcStatuses are the codes of streams that were reset, and of answers that are not of gRPC, such as a
	// gateway's; see PROTOCOL-HTTP2.md and http-grpc-status-mapping.md. Others are INTERNAL and UNKNOWN.
	grpcResets   = map[http2.ErrCode]int{http2.ErrCodeRefusedStream: grpcUnavailable, http2.ErrCodeCancel: 1, http2.ErrCodeEnhanceYourCalm: grpcExhausted, http2.ErrCodeInadequateSecurity: 7}
	grpcStatuses = map[int]int{400: grpcInternal, 401: 16, 403: 7, 404: 12, 429: grpcUnavailable, 502: grpcUnavailable, 503: grpcUnavailable, 504: grpcUnavailable}
)
