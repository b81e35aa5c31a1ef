@starter @row-14 @light
Feature: A page of many small services keeps to its time
  Yoni Goldberg at QCon London 2015: a service in the middle, such as one for customers, asks half a dozen smaller ones on behalf of its caller. In the shop
  each request says how long its caller will wait, and a service that asks others tells them how much of that time is left ("deadline
  propagation"). If one part is slow, the page comes without it, in time. Without that, each service waits and asks again as it likes, and the more there are between
  the page and the slow part, the more often it is asked.

  Scenario: the points of a loyalty card take three seconds longer
    Given the system described in "shop/customer.yaml"
    And the blast radius is limited to "points"
    And a steady load of 60 requests per second on "GET /customers/7"
    And every request carries the header "Request-Timeout: 400ms"
    And clients give up after 1s
    And a baseline is measured for 2s
    When calls from "loyalty" to "points" are delayed by 3s for 4s
    Then at least 99% of requests succeed during the fault
    And at least 90% of "GET /customers/7" responses are fallbacks, marked by "partial: true" in the body during the fault
    And "points" receives at most 1.5 times its normal calls during the fault
