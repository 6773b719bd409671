{# The days on which the set of investments is not the expected one (each investment bought by then, once).
   Counting distinct keys over years of rows is expensive; a count and a sum of hashes, kept for each day, tell whether
   two sets are equal, and only the days that differ are looked at row by row. #}
{% macro days_with_other_investments(sums, investments) %}
    select found.date
    from (select date, investments as n, fingerprint from {{ sums }} where investments > 0) as found
    left join (
        select
            days.date,
            sum(bought.n) as n,
            sum(bought.fingerprint) as fingerprint
        from {{ sums }} as days
        inner join (
            select invested_on, count(*) as n, sum(hash(investment_key, user_key)) as fingerprint
            from {{ investments }}
            group by invested_on
        ) as bought on days.date >= bought.invested_on
        group by days.date
    ) as expected on found.date = expected.date
    where found.n is distinct from expected.n or found.fingerprint is distinct from expected.fingerprint
{% endmacro %}
