@starter @row-3 @light
Feature: The front still does its job when a part of its pages is missing
  Phil Wills at QCon London 2015: each application at the Guardian has a single responsibility, and one key metric that tells how well it meets it.
  The front of the shop serves pages, so its key metric is the number of pages served. It must not fall when a part of the pages is missing: the
  front then leaves that part out ("fallbacks"). Without that, it serves no page at all until the part is back.

  Scenario: the advertisements crash, come back, and hang
    Given the system described in "shop/page.yaml"
    And the blast radius is limited to "ads"
    And a steady load of 60 requests per second on "GET /"
    And clients give up after 4s
    And a baseline is measured for 2s
    When "ads" crashes for 2s
    And "ads" hangs for 2s
    Then "ads" was affected by the fault
    And the key metric "pages_served_total" of "front" keeps at least 80% of its baseline rate during the fault
