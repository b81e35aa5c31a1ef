package services

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// nowhere is the address that a NATS server tells the others as its own. Servers connect to whomever they hear of, and a
// connection to the true address would bypass the link.
const nowhere = "127.0.0.1:1"

// runNATS runs a member of a cluster of three NATS servers, embedded, with JetStream. Clients connect to c.listen, the
// other servers to c.second.
func runNATS(ctx context.Context, c config) (service, error) {
	clients, err := net.ResolveTCPAddr("tcp", c.listen)
	if err != nil {
		return service{}, err
	}
	members, err := net.ResolveTCPAddr("tcp", c.second)
	if err != nil {
		return service{}, err
	}
	var routes []*url.URL
	for _, peer := range c.nodes {
		routes = append(routes, &url.URL{Scheme: "nats", Host: peer})
	}
	name := "nats-" + strconv.Itoa(c.member)
	server, err := natsd.NewServer(&natsd.Options{
		ServerName: name, Host: clients.IP.String(), Port: clients.Port, JetStream: true, StoreDir: c.dir, Tags: []string{name}, NoSigs: true,
		Routes: routes,
		Cluster: natsd.ClusterOpts{
			Name: "drill", Host: members.IP.String(), Port: members.Port, PoolSize: -1, Advertise: nowhere, NoAdvertise: true,
			PingInterval: time.Second, MaxPingsOut: 2,
		},
	})
	if err != nil {
		return service{}, err
	}
	server.SetLogger(natsLog{}, false, false)
	server.Start()
	stop := context.AfterFunc(ctx, server.Shutdown)
	defer stop()
	server.WaitForShutdown()
	return service{}, errors.New("the server ended")
}

// natsLog is a logger of a NATS server that writes to standard error.
type natsLog struct{}

func (natsLog) Noticef(format string, v ...any) { fmt.Fprintf(os.Stderr, format+"\n", v...) }
func (l natsLog) Warnf(format string, v ...any) { l.Noticef(format, v...) }
func (l natsLog) Fatalf(format string, v ...any) {
	l.Noticef(format, v...)
	os.Exit(1)
}
func (l natsLog) Errorf(format string, v ...any) { l.Noticef(format, v...) }
func (natsLog) Debugf(string, ...any)            {}
func (natsLog) Tracef(string, ...any)            {}

// leader is the server that leads the stream of the replicator when a scenario begins.
const leader = "nats-1"

// acknowledging is how long the replicator publishes a message again while no server acknowledges it.
const acknowledging = 17 * time.Second

// newReplicator returns a service that publishes to a stream that three servers replicate. It is connected to one that
// does not lead the stream.
//
// A message of /orders is published again, with the same ID, until it is acknowledged. One of /hasty is
// acknowledged by having been sent.
func newReplicator(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	var urls []string
	for _, member := range []int{2, 3, 1} {
		urls = append(urls, "nats://"+c.nodes[member])
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.DontRandomize(), nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0), nats.PingInterval(time.Second))
	if err != nil {
		return s, err
	}
	s.close = nc.Close
	js, err := jetstream.New(nc)
	if err != nil {
		return s, err
	}
	replicas := 3
	if c.isWithout("replicas") {
		replicas = 1
	}
	stream := jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders"}, Replicas: replicas, Storage: jetstream.FileStorage}
	if replicas == 1 {
		stream.Placement = &jetstream.Placement{Tags: []string{leader}}
	}
	if err := placeStream(ctx, nc, js, stream); err != nil {
		return s, fmt.Errorf("create the stream %q: %w", stream.Name, err)
	}
	s.handleFor(acknowledging, "POST /orders", func(ctx context.Context, key string) error { return publishUntilStored(ctx, js, key) })
	s.handle("POST /hasty", func(ctx context.Context, key string) error {
		return errors.Join(nc.PublishMsg(orderMessage(key)), nc.FlushWithContext(ctx))
	})
	s.HandleFunc("GET /replicas", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, cmp.Or(lackOfReplicas(r.Context(), js, stream.Name), "all agree"))
	})
	return s, nil
}

// placeStream creates a stream, and waits until its replicas agree and the leader leads it.
func placeStream(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, config jetstream.StreamConfig) error {
	for {
		err := func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			stream, err := js.CreateOrUpdateStream(ctx, config)
			if err != nil {
				return err
			}
			if lacks := lackOfReplicas(ctx, js, config.Name); lacks != "" {
				return errors.New(lacks)
			}
			if now := stream.CachedInfo().Cluster.Leader; now != leader {
				_, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+config.Name, []byte(`{"placement":{"preferred":"`+leader+`"}}`))
				return errors.Join(fmt.Errorf("its leader is %q", now), err)
			}
			return nil
		}()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(250 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// lackOfReplicas returns why the replicas of a stream do not agree yet, or "".
func lackOfReplicas(ctx context.Context, js jetstream.JetStream, name string) string {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err.Error()
	}
	info := stream.CachedInfo()
	switch {
	case info.Cluster == nil || info.Cluster.Leader == "":
		return name + " has no leader"
	case len(info.Cluster.Replicas) != info.Config.Replicas-1:
		return name + " has " + strconv.Itoa(len(info.Cluster.Replicas)) + " followers"
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline {
			return r.Name + " lags behind in " + name
		}
	}
	return ""
}

func orderMessage(key string) *nats.Msg {
	return &nats.Msg{Subject: "orders", Data: []byte(key), Header: nats.Header{jetstream.MsgIDHeader: {key}}}
}

// publishUntilStored publishes a message again whenever it was not acknowledged within 400 ms.
func publishUntilStored(ctx context.Context, js jetstream.JetStream, key string) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		_, err := js.PublishMsg(attempt, orderMessage(key))
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
