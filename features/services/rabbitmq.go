package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// runRabbitMQ runs a RabbitMQ server of its own: its data, its Erlang cookie and its port mapper (epmd) are not those of
// the machine. c.second and c.third are addresses for the two ports that Erlang needs.
func runRabbitMQ(ctx context.Context, c config) (service, error) {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return service{}, err
	}
	epmd, err := process.LookPath("epmd")
	if err != nil {
		return service{}, err
	}
	_, port, err := net.SplitHostPort(c.listen)
	if err != nil {
		return service{}, err
	}
	_, distribution, err := net.SplitHostPort(c.second)
	if err != nil {
		return service{}, err
	}
	_, mapper, err := net.SplitHostPort(c.third)
	if err != nil {
		return service{}, err
	}
	env := append(os.Environ(), "HOME="+dir, "ERL_EPMD_PORT="+mapper, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=rabbit"+port+"@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+port, "RABBITMQ_DIST_PORT="+distribution,
		"RABBITMQ_MNESIA_BASE="+dir, "RABBITMQ_LOG_BASE="+dir, "RABBITMQ_LOGS=-",
		"RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "absent"), "RABBITMQ_ENABLED_PLUGINS_FILE=/dev/null")
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // installed programs
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		return cmd
	}
	ports := command(epmd, "-port", mapper, "-address", "127.0.0.1") // Erlang would leave it behind as a daemon
	if err := ports.Start(); err != nil {
		return service{}, err
	}
	defer func() {
		_ = ports.Process.Kill()
		_ = ports.Wait()
	}()
	// The script in PATH changes to the user and the folder of the machine's own server.
	err = command("/usr/lib/rabbitmq/bin/rabbitmq-server").Run()
	return service{}, fmt.Errorf("the server ended: %w", err)
}

// The queues: the sender fills orders over its link. work and auto are filled past it, for the receiver.
const orders, work, auto = "orders", "work", "auto"

// dialAMQP opens a connection and a channel on it.
func dialAMQP(addr string) (*amqp.Connection, *amqp.Channel, error) {
	conn, err := amqp.DialConfig("amqp://guest:guest@"+addr+"/", amqp.Config{Heartbeat: time.Minute, Locale: "en_US"})
	if err != nil {
		return nil, nil, err
	}
	channel, err := conn.Channel()
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, channel, nil
}

// sending is a connection of the sender. It publishes one message at a time.
type sending struct {
	conn    *amqp.Connection
	channel *amqp.Channel
}

func newSending(addr string) (*sending, error) {
	conn, channel, err := dialAMQP(addr)
	if err != nil {
		return nil, err
	}
	if err := channel.Confirm(false); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &sending{conn, channel}, nil
}

// publish publishes a message. With confirm it waits for the server's confirmation, but not for longer than unconfirmed.
func (s *sending) publish(ctx context.Context, queue, key string, confirm bool) error {
	ctx, cancel := context.WithTimeout(ctx, unconfirmed)
	defer cancel()
	confirmation, err := s.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{Body: []byte(key)})
	if err != nil || !confirm {
		return err
	}
	taken, err := confirmation.WaitContext(ctx)
	if err == nil && !taken {
		err = errors.New("the server did not take the message")
	}
	return err
}

const (
	connections = 20          // of the sender
	unconfirmed = time.Second // how long the sender waits for a confirmation
)

// sendings are connections of the sender over the link.
type sendings struct {
	addr string
	free chan *sending // the one that was free for longest is next
}

func newSendings(addr string) (*sendings, error) {
	all := &sendings{addr, make(chan *sending, 2*connections)}
	for range connections {
		s, err := newSending(addr)
		if err != nil {
			return nil, err
		}
		all.free <- s
	}
	return all, nil
}

// publish publishes to orders on a free connection, or on a new one if all are in use, or were broken.
func (all *sendings) publish(ctx context.Context, key string, confirm bool) error {
	var s *sending
	select {
	case s = <-all.free:
	default:
		var err error
		if s, err = newSending(all.addr); err != nil {
			return err
		}
	}
	if err := s.publish(ctx, orders, key, confirm); err != nil {
		go s.conn.Close() //nolint:errcheck // it waits for an answer that may never come
		return err
	}
	all.free <- s
	return nil
}

// close closes those that are free.
func (all *sendings) close() {
	for {
		select {
		case s := <-all.free:
			_ = s.conn.Close()
		default:
			return
		}
	}
}

// newSender returns a service that publishes to RabbitMQ, over the link on one of its connections. With /confirmed it
// publishes again on another one until the server confirms, with /unconfirmed it believes that what was written arrived.
// It writes each message that arrives in the queue to its log.
func newSender(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	conn, direct, err := dialAMQP(c.direct)
	if err != nil {
		return s, err
	}
	s.close = func() { _ = conn.Close() }
	for _, queue := range []string{orders, work, auto} {
		if _, err := direct.QueueDeclare(queue, false, false, false, false, nil); err != nil {
			return s, err
		}
	}
	deliveries, err := direct.ConsumeWithContext(ctx, orders, "", true, false, false, false, nil)
	if err != nil {
		return s, err
	}
	go func() {
		n := 0
		for m := range deliveries {
			n++
			fmt.Printf("arrived %s as %d\n", m.Body, n)
		}
	}()
	over, err := newSending(c.direct)
	if err != nil {
		return s, err
	}
	link, err := newSendings(c.link)
	if err != nil {
		return s, err
	}
	s.close = func() { _, _ = over.conn.Close(), conn.Close(); link.close() }
	s.handle("POST /confirmed", func(ctx context.Context, key string) error {
		for {
			if err := link.publish(ctx, key, true); err == nil || ctx.Err() != nil {
				return err
			}
		}
	})
	s.handle("POST /unconfirmed", func(ctx context.Context, key string) error { return link.publish(ctx, key, false) })
	for _, queue := range []string{work, auto} {
		s.handle("POST /"+queue, func(ctx context.Context, key string) error { return over.publish(ctx, queue, key, true) })
	}
	return s, nil
}

// newReceiver returns a service that writes each message that it handles to its log: those of work one at a time on
// each of ten connections, acknowledged when they are handled, and those of auto on another one, acknowledged by being
// sent.
func newReceiver(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	ctx, cancel := context.WithCancel(ctx)
	var consumers sync.WaitGroup
	var n atomic.Int64
	for i := range 11 {
		consume := func(established func()) error {
			conn, channel, err := dialAMQP(c.link)
			if err != nil {
				return err
			}
			defer conn.Close() //nolint:errcheck // it may be broken
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			queue, automatic := work, i == 10
			if automatic {
				queue = auto
			} else if err := channel.Qos(1, 0, false); err != nil {
				return err
			}
			deliveries, err := channel.ConsumeWithContext(ctx, queue, "", automatic, false, false, false, nil)
			if err != nil {
				return err
			}
			established()
			for m := range deliveries {
				what := "delivery"
				if m.Redelivered {
					what = "redelivery"
				}
				fmt.Printf("handled %s as %s-%d\n", m.Body, what, n.Add(1))
				if automatic {
					time.Sleep(10 * time.Millisecond) // its work
				} else if err := m.Ack(false); err != nil {
					return err
				}
			}
			return errors.New("the connection ended")
		}
		first := make(chan struct{})
		established := sync.OnceFunc(func() { close(first) })
		consumers.Go(func() {
			for ctx.Err() == nil {
				if consume(established) != nil {
					select {
					case <-time.After(100 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			}
		})
		select {
		case <-first: // so that the connections of work are the first ten
		case <-time.After(10 * time.Second):
			cancel()
			return s, errors.New("no connection to the server")
		}
	}
	s.close = func() { cancel(); consumers.Wait() }
	return s, nil
}
