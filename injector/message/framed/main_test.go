package framed

import (
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestMain(m *testing.M) { relaytest.Main(m, rows()...) }

func rows() []message.Protocol {
	return []message.Protocol{Lengths(), Lines(), NATS(), PostgreSQL(), Redis()}
}
