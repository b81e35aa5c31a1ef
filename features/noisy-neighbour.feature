@starter @row-11 @light
Feature: A noisy neighbour takes nothing away from a quiet one
  Phil Calçado at QCon London 2015: without resource limits, SoundCloud had "noisy neighbours in the datacentre". In the shop, each tenant of the
  song service may ask forty times a second ("tenant limits"). Without limits, the requests of one tenant fill the queue in which those of all
  others wait.

  Scenario: one tenant floods the service that two of them share
    Given the system described in "shop/songs.yaml"
    And the "quiet" load of 20 requests per second on "GET /quiet/songs"
    And the "noisy" load of 20 requests per second on "GET /noisy/songs"
    And clients give up after 1s
    And a baseline is measured for 2s
    When the "noisy" load spikes from 20 to 250 requests per second for 4s
    Then at least 98% of requests of the "quiet" load succeed
    And excess requests are refused within 500ms with status "429" and a Retry-After header
