Feature: A question before the load

  Scenario: comments hang once the dashboards are open
    Given the system described in "../../../features/shop/system.yaml"
    And a steady load of 20 requests per second on "GET /"
    And a baseline is measured for 2s
    When the facilitator confirms "the dashboards are open"
    And "comments" hangs for 60s
    Then at least 50% of requests succeed before the fault
