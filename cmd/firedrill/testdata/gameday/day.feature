Feature: A game day

  Background:
    Given the system described in "../../../../features/shop/system.yaml"
    And a steady load of 20 requests per second on "GET /"
    And a baseline is measured for 2s
    And the run stops at once if fewer than 1% of requests succeed for 5m

  Scenario: comments hang
    When "comments" hangs for 10m
    Then at least 1% of requests succeed during the fault

  Scenario: ads are slow
    When calls from "front" to "ads" are delayed by 10ms for 10m
    Then at least 1% of requests succeed during the fault
