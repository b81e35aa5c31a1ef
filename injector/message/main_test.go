package message_test

import (
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

func TestMain(m *testing.M) { relaytest.Main(m, protocols.All()...) }
