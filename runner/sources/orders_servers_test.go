package sources

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// orders counts the orders that a server of a test applied, and writes them down: a line with key and id each.
type orders struct {
	mu   sync.Mutex
	n    int
	file string
	once bool // a key that was applied is not applied again
	seen map[string]bool
	sent []metadata.MD // of calls of gRPC
}

func (o *orders) apply(t *testing.T, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.once && o.seen[key] {
		return
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[key] = true
	o.n++
	if o.file == "" {
		return
	}
	f, err := os.OpenFile(o.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if assert.NoError(t, err) {
		_, err = fmt.Fprintf(f, `{"key": %q, "id": "%d"}`+"\n", key, o.n)
		assert.NoError(t, err)
		assert.NoError(t, f.Close())
	}
}

// answer applies "order KEY" and refuses anything else.
func (o *orders) answer(t *testing.T, text string) string {
	key, ok := strings.CutPrefix(text, "order ")
	if !ok {
		return "ERR unknown"
	}
	o.apply(t, key)
	return "done " + key
}

// applied counts by the address of the server.
var applied sync.Map

func appliedAt(_ *testing.T, addr string) int {
	o, _ := applied.Load(addr)
	all := o.(*orders)
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.n
}

// lengthsServer answers messages with a length of two bytes before them, in little-endian order and including itself.
func lengthsServer(t *testing.T, o *orders) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	serve := func(c net.Conn) {
		defer c.Close()
		stop := context.AfterFunc(t.Context(), func() { _ = c.Close() })
		defer stop()
		for {
			var length [2]byte
			if _, err := io.ReadFull(c, length[:]); err != nil {
				return
			}
			text := make([]byte, binary.LittleEndian.Uint16(length[:])-2)
			if _, err := io.ReadFull(c, text); err != nil {
				return
			}
			answer := o.answer(t, string(text))
			if _, err := c.Write(append(binary.LittleEndian.AppendUint16(nil, uint16(len(answer)+2)), answer...)); err != nil { //nolint:gosec // short
				return
			}
		}
	}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	applied.Store(ln.Addr().String(), o)
	return ln.Addr().String()
}

// datagramServer answers each datagram, unless it is silent.
func datagramServer(t *testing.T, o *orders, silent bool) string {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		text := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFromUDP(text)
			if err != nil {
				return
			}
			if answer := o.answer(t, string(text[:n])); !silent {
				_, _ = c.WriteToUDP([]byte(answer), from)
			}
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
	applied.Store(c.LocalAddr().String(), o)
	return c.LocalAddr().String()
}

// ordersProto is written into a folder by protoFile.
const ordersProto = `syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "item.proto";
service Orders {
  rpc Create(Order) returns (Created);
  rpc Watch(Order) returns (stream Created);
}
message Order { string key = 1; int32 quantity = 2; google.protobuf.Timestamp at = 3; Item item = 4; }
message Created { string id = 1; }
`

func protoFile(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"orders.proto": ordersProto, "item.proto": "syntax = \"proto3\";\npackage shop;\nmessage Item { string name = 1; }\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return filepath.Join(dir, "orders.proto")
}

// grpcServer starts a server of grpc-go. An order with a quantity below 1 ends with the code -quantity.
func grpcServer(t *testing.T, o *orders, reflects bool, options ...grpc.ServerOption) string {
	d, err := serviceInFile(t.Context(), protoFile(t), "shop.Orders")
	require.NoError(t, err)
	create := d.Methods().ByName("Create")
	// With fixed windows the server does not measure bandwidth by pings: what it says next is the answer.
	s := grpc.NewServer(append(options, grpc.StaticStreamWindowSize(1<<20), grpc.StaticConnWindowSize(1<<20))...)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Orders", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Create", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := dynamicpb.NewMessage(create.Input())
		if err := decode(in); err != nil {
			return nil, err
		}
		field := func(name protoreflect.Name) protoreflect.Value {
			return in.Get(create.Input().Fields().ByName(name))
		}
		if q := field("quantity").Int(); q < 0 {
			return nil, status.Error(codes.Code(-q), "100% wrong") //nolint:gosec // a code
		}
		md, _ := metadata.FromIncomingContext(ctx)
		key := field("key").String()
		if got := md.Get("order-key"); key == "" && len(got) > 0 {
			key = got[0]
		}
		o.mu.Lock()
		o.sent = append(o.sent, md)
		o.mu.Unlock()
		o.apply(t, key)
		out := dynamicpb.NewMessage(create.Output())
		out.Set(create.Output().Fields().ByName("id"), protoreflect.ValueOfString("o-"+key))
		return out, nil
	}}}}, struct{}{})
	if reflects {
		files := &protoregistry.Files{}
		var register func(f protoreflect.FileDescriptor)
		register = func(f protoreflect.FileDescriptor) {
			for i := range f.Imports().Len() {
				register(f.Imports().Get(i).FileDescriptor)
			}
			if _, err := files.FindFileByPath(f.Path()); err != nil {
				require.NoError(t, files.RegisterFile(f))
			}
		}
		register(d.ParentFile())
		r := reflection.NewServerV1(reflection.ServerOptions{Services: s, DescriptorResolver: files})
		reflectionpb.RegisterServerReflectionServer(s, r)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-done })
	applied.Store(ln.Addr().String(), o)
	return ln.Addr().String()
}

// noLogin returns a server's address without a login.
func noLogin(addr string) (string, *url.URL) { return addr, nil }
