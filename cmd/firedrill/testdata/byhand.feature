Feature: A fault that no step holds

  Scenario: comments hang until they resume
    Given the system described in "../../../features/shop/system.yaml"
    And a steady load of 20 requests per second on "GET /"
    And a baseline is measured for 2s
    When "comments" hangs
    And calls from "front" to "ads" are delayed by 10ms for 60s
    And "comments" resumes
    Then at least 50% of requests succeed before the fault
