package shop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// newBroker returns the message broker: nats-server with JetStream, embedded, which stores messages in the folder of the
// part. It speaks NATS on the part's address, and no HTTP.
func newBroker(c config) (*part, error) {
	host, port, err := net.SplitHostPort(c.listen)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("port of %q: %w", c.listen, err)
	}
	if n == 0 {
		n = natsd.RANDOM_PORT
	}
	server, err := natsd.NewServer(&natsd.Options{Host: host, Port: n, JetStream: true, StoreDir: c.dir, NoSigs: true})
	if err != nil {
		return nil, err
	}
	p := newPart()
	p.serve = func(ctx context.Context) error {
		server.Start()
		defer server.WaitForShutdown()
		defer server.Shutdown()
		if !server.ReadyForConnections(10 * time.Second) {
			return errors.New("the broker was not ready within 10s")
		}
		fmt.Printf("broker listens on %s\n", server.Addr())
		<-ctx.Done()
		return nil
	}
	return p, nil
}

// ordersSubject is the subject of the messages from checkout to warehouse, and the name of the stream that stores them.
const ordersSubject = "orders"

// connectBroker connects to the broker and creates the stream of orders if it does not exist. The connection reconnects
// after every failure; close it.
func connectBroker(addr string) (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the broker: %w", err)
	}
	js, err := jetstream.New(conn)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: ordersSubject, Subjects: []string{ordersSubject}})
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("create the stream of orders: %w", err)
	}
	return conn, js, nil
}
